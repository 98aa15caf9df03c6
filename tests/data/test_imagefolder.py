import os

import numpy as np
import pytest
import torch
from PIL import Image

from lossatlas.data import load_source
from lossatlas.data.imagefolder import scan_imagefolder

from .made import write_png


def grey(value, size=(4, 4)):
    return np.full((*size, 3), value)


@pytest.fixture
def root(tmp_path):
    """Numbers over two classes; the value of every pixel is the number."""
    folder = tmp_path / "pictures"
    for name, numbers in {"cat": (10, 2), "ant": (9, 1)}.items():
        for number in numbers:
            write_png(folder / "train" / name / f"{number}.png", grey(number))
            write_png(folder / "test" / name / f"{number:03d}.png", grey(100 + number))
    return folder


def values(images):
    return images[:, 0, 0, 0].tolist()


def test_numbers_give_one_order_over_all_classes(root):
    dataset = load_source("imagefolder", root=root)
    assert dataset.classes == ("ant", "cat")
    assert dataset.name == "pictures"
    assert values(dataset.train_images) == [1, 2, 9, 10]
    assert dataset.train_labels.tolist() == [0, 1, 0, 1]
    assert values(dataset.test_images) == [101, 102, 109, 110]


def test_equal_numbers_go_by_class(root):
    write_png(root / "train" / "cat" / "1.png", grey(50))
    dataset = load_source("imagefolder", root=root)
    assert values(dataset.train_images) == [1, 50, 2, 9, 10]
    assert dataset.train_labels.tolist() == [0, 1, 1, 0, 1]


def test_one_name_that_is_no_number_gives_the_order_by_class_and_name(root):
    write_png(root / "train" / "cat" / "a.png", grey(60))
    dataset = load_source("imagefolder", root=root)
    assert values(dataset.train_images) == [1, 9, 10, 2, 60]
    assert dataset.train_labels.tolist() == [0, 0, 1, 1, 1]


def test_pixels_of_colour_grey_palette_and_jpeg_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    for split in ("train", "test"):
        folder = tmp_path / split / "only"
        write_png(folder / "1.png", pixels)
        write_png(folder / "2.PNG", pixels[:, :, 0])
        Image.fromarray(pixels).save(folder / "3.jpg")
        Image.fromarray(pixels).quantize(256).save(folder / "4.png")
        (folder / "notes.txt").write_text("not an image")
        (folder / ".hidden.png").write_text("not an image")
    (tmp_path / "train" / ".checkpoints").mkdir()
    dataset = load_source("imagefolder", root=tmp_path)
    assert dataset.train_images.shape == (4, 3, 4, 6)
    assert dataset.image_size == (4, 6)
    assert torch.equal(dataset.train_images[0], torch.from_numpy(pixels).permute(2, 0, 1))
    assert torch.equal(dataset.train_images[1], torch.from_numpy(pixels[:, :, 0]).expand(3, 4, 6))
    with Image.open(tmp_path / "test" / "only" / "3.jpg") as image:
        decoded = np.asarray(image)
    assert torch.equal(dataset.test_images[2], torch.tensor(decoded).permute(2, 0, 1))


def test_missing_folders_are_named_with_what_is_expected(root):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not a folder; expected <root>/\{train,test\}/<class>"):
        load_source("imagefolder", root=root / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"the folder .*cat.train does not exist; expected"):
        load_source("imagefolder", root=root / "train" / "cat")
    (root / "train" / "eel").mkdir()
    (root / "test" / "eel").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train.eel has no image"):
        load_source("imagefolder", root=root)


def test_split_without_classes(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="train has no class folders"):
        load_source("imagefolder", root=tmp_path)


def test_different_classes_are_refused(root):
    write_png(root / "train" / "dog" / "3.png", grey(3))
    write_png(root / "test" / "eel" / "3.png", grey(3))
    with pytest.raises(ValueError, match=r"only in train: \['dog'\], only in test: \['eel'\]"):
        load_source("imagefolder", root=root)


def test_file_that_cannot_be_decoded_is_named(root):
    broken = root / "test" / "ant" / "001.png"
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3))
    write_png(broken, noise)
    whole = broken.read_bytes()
    for content in (b"", b"text", whole[:30], whole[: len(whole) // 2], whole[:-24], whole[:60] + b"xxxx" + whole[64:]):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"test.ant.001\.png cannot be decoded as an image"):
            load_source("imagefolder", root=root)


def test_sixteen_bits_are_refused(root):
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(root / "train" / "ant" / "1.png")
    with pytest.raises(ValueError, match=r"ant.1\.png cannot be decoded .* more than 8 bits per channel"):
        load_source("imagefolder", root=root)


def test_other_size_is_named(root):
    write_png(root / "test" / "cat" / "002.png", grey(1, size=(4, 5)))
    with pytest.raises(ValueError, match=r"cat.002\.png has 5 x 4 pixels, the images before it 4 x 4"):
        load_source("imagefolder", root=root)


def test_state_follows_names_sizes_and_times(root):
    state = scan_imagefolder(root).state()
    assert scan_imagefolder(root).state() == state
    file = root / "train" / "ant" / "1.png"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    touched = scan_imagefolder(root).state()
    file.rename(file.with_name("3.png"))
    assert len({state, touched, scan_imagefolder(root).state()}) == 3


def test_no_progress_bar_without_a_terminal(root, capsys):
    load_source("imagefolder", root=root)
    assert capsys.readouterr() == ("", "")
