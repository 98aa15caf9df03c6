import pytest
import torch
import torchvision.datasets.utils as downloads

from lossatlas.data import load_source

from .made import MadeCifar

BATCHES = {
    "cifar10": (["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"], ["test_batch"]),
    "cifar100": (["train"], ["test"]),
}


@pytest.fixture
def offline(monkeypatch):
    from urllib.error import URLError

    def refuse(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(downloads, "_get_redirect_url", refuse)
    monkeypatch.setattr(downloads, "_urlretrieve", refuse)


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_reads_the_original_format_from_the_archive_and_again_from_its_folder(kind, tmp_path, monkeypatch, offline):
    made = MadeCifar(kind, tmp_path, monkeypatch)
    train, test = BATCHES[kind]
    dataset = load_source(kind, root=tmp_path)
    for images, labels, names in (
        (dataset.train_images, dataset.train_labels, train),
        (dataset.test_images, dataset.test_labels, test),
    ):
        pixels, targets = made.expected(names)
        assert torch.equal(images, pixels)
        assert torch.equal(labels, targets)
    assert dataset.classes == tuple(made.classes)
    assert dataset.name == kind
    made.archive.unlink()
    assert load_source(kind, root=tmp_path, download=False).fingerprint() == dataset.fingerprint()


def test_downloads_the_archive_on_first_use(tmp_path, monkeypatch):
    made = MadeCifar("cifar10", tmp_path / "server", monkeypatch)
    asked = []

    def serve(url, filename):
        asked.append(url)
        (tmp_path / "data" / made.source.filename).write_bytes(made.archive.read_bytes())

    monkeypatch.setattr(downloads, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(downloads, "_urlretrieve", serve)
    dataset = load_source("cifar10", root=tmp_path / "data")
    assert asked == [made.source.url]
    assert torch.equal(dataset.test_images, made.expected(["test_batch"])[0])


def test_an_altered_download_is_refused_and_not_kept(tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-python.tar.gz"
    monkeypatch.setattr(downloads, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(downloads, "_urlretrieve", lambda url, filename: archive.write_bytes(b"a page of some proxy"))
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded \(RuntimeError: File not found or corrupted"):
        load_source("cifar10", root=tmp_path)
    assert not archive.exists()


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("cifar10", ["cifar-10-python.tar.gz (md5 c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py", "batch_5"]),
        (
            "cifar100",
            ["cifar-100-python.tar.gz (md5 eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python (train, test"],
        ),
    ],
)
def test_offline_says_what_to_put_where(kind, parts, tmp_path, offline):
    root = tmp_path / "data"
    with pytest.raises(FileNotFoundError) as raised:
        load_source(kind, root=root)
    text = str(raised.value)
    expected = [f"{kind} is not in {root}", "cannot be downloaded (URLError", "no route to host", "or set root to"]
    for part in expected + parts:
        assert part in text


def test_download_switched_off(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"switched off \(download = False\)\. Put cifar-10-python"):
        load_source("cifar10", root=tmp_path, download=False)


def test_truncated_archive_is_refused_by_name_and_kept(tmp_path, monkeypatch, offline):
    made = MadeCifar("cifar10", tmp_path, monkeypatch)
    made.archive.write_bytes(made.archive.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz is truncated or altered: its md5 is .*delete it"):
        load_source("cifar10", root=tmp_path)
    assert made.archive.exists()


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_altered_batch_is_refused_by_name(name, tmp_path, monkeypatch, offline):
    made = MadeCifar("cifar10", tmp_path, monkeypatch)
    load_source("cifar10", root=tmp_path)
    content = bytearray(made.batch(name).read_bytes())
    content[len(content) // 2] ^= 1
    made.batch(name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is truncated or altered"):
        load_source("cifar10", root=tmp_path)


def test_archive_that_is_no_archive_is_named(tmp_path, monkeypatch, offline):
    made = MadeCifar("cifar10", tmp_path, monkeypatch)
    made.archive.write_bytes(b"not a tar")
    monkeypatch.setattr(made.source, "tgz_md5", "f8f6ab5da13bf4ae9ea4e9b2ad4e9ab9")
    with pytest.raises(ValueError, match="cifar-10-python"):
        load_source("cifar10", root=tmp_path)
