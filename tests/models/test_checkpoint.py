from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lossatlas.models import build
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint, weights_hash

TINY = {"family": "resnet", "options": {"depth": 8, "base_width": 2}, "num_classes": 4, "input_size": 8}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


@pytest.fixture
def saved(tiny, tmp_path):
    path = tmp_path / "epoch_3.safetensors"
    save_checkpoint(path, tiny, **TINY, epoch=3, extra={"test_error": 0.25, "loss": float("nan")})
    return path


def test_what_was_saved_comes_back(tiny, saved):
    loaded = load_checkpoint(saved)
    assert loaded.state.keys() == tiny.state_dict().keys()
    assert all(torch.equal(tensor, tiny.state_dict()[name]) for name, tensor in loaded.state.items())
    complete = {"depth": 8, "shortcut": True, "width": 1, "base_width": 2}
    assert loaded.model == {**TINY, "options": complete}
    assert (loaded.path, loaded.epoch, loaded.extra) == (saved, 3, {"test_error": 0.25, "loss": None})
    assert loaded.weights_hash == weights_hash(tiny.state_dict())


def test_the_built_network_is_the_saved_one_in_evaluation_mode(tiny, saved, logits):
    before = torch.get_rng_state()
    model = load_checkpoint(saved).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model(IMAGES), logits(tiny, IMAGES))


def test_a_built_network_shares_nothing_with_the_checkpoint(saved):
    loaded = load_checkpoint(saved)
    with torch.no_grad():
        loaded.build().linear.weight.fill_(9)
    assert weights_hash(loaded.state) == loaded.weights_hash


def test_every_family_comes_back(small, tmp_path, logits):
    family, options = small
    model = build(family, num_classes=3, input_size=8, **options)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, family=family, options=options, num_classes=3, input_size=8, epoch=0)
    assert torch.equal(logits(load_checkpoint(path).build(), IMAGES), logits(model, IMAGES))


def test_the_same_content_gives_the_same_bytes_in_every_process(tiny, saved, tmp_path):
    again = tmp_path / "again.safetensors"
    channels_last = tiny.to(memory_format=torch.channels_last)
    save_checkpoint(again, channels_last, **TINY, epoch=3, extra={"loss": float("nan"), "test_error": 0.25})
    assert again.read_bytes() == saved.read_bytes()
    other = tmp_path / "other.safetensors"
    code = (
        "import sys; from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint\n"
        "c = load_checkpoint(sys.argv[1])\n"
        "save_checkpoint(sys.argv[2], dict(reversed(c.state.items())), **c.model, epoch=c.epoch, extra=c.extra)"
    )
    subprocess.run([sys.executable, "-c", code, str(saved), str(other)], check=True)
    assert other.read_bytes() == saved.read_bytes()


def test_the_metadata_has_one_key(saved):
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["lossatlas"]
    assert metadata["lossatlas"] == json.dumps(json.loads(metadata["lossatlas"]), sort_keys=True, separators=(",", ":"))


def test_a_failed_write_leaves_the_old_file(tiny, saved, monkeypatch):
    before = saved.read_bytes()

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"cannot write .*epoch_3\.safetensors \(No space left on device; make room there"
    ):
        save_checkpoint(saved, tiny, **TINY, epoch=4)
    assert saved.read_bytes() == before
    assert [item.name for item in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": -1}, r"epoch = -1 is impossible; allowed: an int of 0 or more"),
        ({"epoch": True}, r"epoch = True is impossible"),
        ({"options": {"depth": 9}}, r"model resnet: depth = 9 is impossible"),
        ({"input_size": 4}, r"input_size = 4 is impossible"),
    ],
)
def test_impossible_descriptions_are_not_written(tiny, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        save_checkpoint(tmp_path / "x.safetensors", tiny, **{**TINY, "epoch": 0, **change})
    assert not any(tmp_path.iterdir())


def test_a_network_of_ones_own_is_kept_without_description(tmp_path):
    path = tmp_path / "own.safetensors"
    own = torch.nn.Linear(2, 3)
    save_checkpoint(path, own, family=None, options={}, num_classes=3, input_size=8, epoch=1)
    loaded = load_checkpoint(path)
    assert loaded.model is None
    assert torch.equal(loaded.state["weight"], own.weight)
    with pytest.raises(
        ValueError, match=r"own\.safetensors does not say which network it is; name it: load_checkpoint"
    ):
        loaded.build()


def test_weights_kept_without_description_take_the_network_that_is_named(tiny, tmp_path, logits):
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, tiny, family=None, options={}, num_classes=4, input_size=8, epoch=2)
    loaded = load_checkpoint(path, family="resnet", depth=8, base_width=2, num_classes=4, input_size=8)
    assert loaded.epoch == 2
    assert torch.equal(logits(loaded.build(), IMAGES), logits(tiny, IMAGES))


def test_naming_the_right_network_is_allowed_and_a_wrong_one_refused(saved):
    load_checkpoint(saved, family="resnet", depth=8, num_classes=4)
    with pytest.raises(
        ValueError, match=r"epoch_3\.safetensors holds a network with depth = 8, but depth = 20 was named"
    ):
        load_checkpoint(saved, family="resnet", depth=20)
    with pytest.raises(ValueError, match=r"holds a network with family = 'resnet', but family = 'vgg' was named"):
        load_checkpoint(saved, family="vgg")
    with pytest.raises(ValueError, match=r"options depth need a family: load_checkpoint"):
        load_checkpoint(saved, depth=8)


@pytest.mark.parametrize("left", [0, 5, 9, 200, 3000, -1])
def test_a_truncated_file_is_named(saved, left):
    saved.write_bytes(saved.read_bytes()[:left])
    reason = r"(is truncated or damaged|is empty|is neither a safetensors nor a torch file).*write"
    with pytest.raises(ValueError, match=rf"epoch_3\.safetensors {reason}"):
        load_checkpoint(saved)


def test_one_flipped_bit_in_the_weights_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[-100] ^= 1
    saved.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"epoch_3\.safetensors is damaged \(its weights do not have the hash"):
        load_checkpoint(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors does not exist; train the network first"):
        load_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("{", r"is damaged \(its description is not JSON"),
        ('{"format": 1}', r"has format 1; this program reads 2"),
        ('{"format": 2}', r"is damaged \(its description has no epoch\); replace it"),
        ("[]", r"has format \[\]"),
    ],
)
def test_another_description_is_refused(tmp_path, description, message):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"lossatlas": description})
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)


def test_a_foreign_safetensors_file_takes_the_network_that_is_named(tiny, tmp_path, logits):
    path = tmp_path / "foreign.safetensors"
    save_file(dict(tiny.state_dict()), path)
    loaded = load_checkpoint(path, family="resnet", depth=8, base_width=2, num_classes=4, input_size=8)
    assert torch.equal(logits(loaded.build(), IMAGES), logits(tiny, IMAGES))
    assert loaded.epoch is None


def test_weights_of_another_network_are_not_built(tiny, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file(dict(tiny.state_dict()), path)
    message = r'foreign\.safetensors does not fit the network .*"depth":20.*; name the family and options .*Missing key'
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path, family="resnet", depth=20).build()
    assert "\n" not in str(caught.value)
