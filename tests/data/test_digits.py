import numpy as np
import torch
from sklearn.datasets import load_digits as read

from lossatlas.data import load_source
from lossatlas.data.digits import load_digits


def test_pinned_content():
    digits = load_digits()
    assert len(digits.train_images) == 1438
    assert len(digits.test_images) == 359
    assert digits.image_size == (8, 8)
    assert digits.classes == tuple("0123456789")
    # The split is a hash, so neither library nor machine changes it; scikit-learn has never changed the pixels.
    assert digits.fingerprint() == "7f2683000c544afec6c379b93a25258f1d9a783815fc11e8d1a6883677debe80"
    assert load_source("digits").fingerprint() == digits.fingerprint()


def test_pixels_are_the_grey_levels_in_three_equal_channels():
    digits = load_digits()
    levels = [round(level * 255 / 16) for level in range(17)]
    for images in (digits.train_images, digits.test_images):
        assert sorted(set(images.flatten().tolist())) == levels
        assert torch.equal(images[:, 0], images[:, 1])
        assert torch.equal(images[:, 0], images[:, 2])


def test_every_image_is_used_once_in_its_original_order():
    digits, raw = load_digits(), read()
    pixels = np.rint(raw.images * 255 / 16).astype(np.uint8)
    place = {image.tobytes(): index for index, image in enumerate(pixels)}
    assert len(place) == 1797
    train = [place[image.numpy().tobytes()] for image in digits.train_images[:, 0]]
    test = [place[image.numpy().tobytes()] for image in digits.test_images[:, 0]]
    assert train == sorted(train)
    assert test == sorted(test)
    assert sorted(train + test) == list(range(1797))
    assert digits.train_labels.tolist() == raw.target[train].tolist()
    assert digits.test_labels.tolist() == raw.target[test].tolist()


def test_split_is_four_fifths_of_each_class():
    digits = load_digits()
    train, test = digits.train_labels.bincount(), digits.test_labels.bincount()
    assert ((train - 0.8 * (train + test)).abs() < 1).all()
