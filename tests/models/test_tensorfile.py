from __future__ import annotations

import zipfile

import pytest
import torch

from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.tensorfile import is_safetensors, read_torch

IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
NETWORK = {"family": "resnet", "depth": 8, "base_width": 2, "num_classes": 4, "input_size": 8}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_torch_files_load_with_or_without_dataparallel_wrapper_and_zip(tiny, tmp_path, legacy, prefix, wrapped, logits):
    state = {prefix + name: tensor for name, tensor in tiny.state_dict().items()}
    path = tmp_path / "model.pth"
    content = {"state_dict": state, "epoch": 7, "acc": 91.5} if wrapped else state
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert not is_safetensors(path)
    loaded = load_checkpoint(path, **NETWORK)
    assert loaded.epoch == (7 if wrapped else None)
    assert torch.equal(logits(loaded.build(), IMAGES), logits(tiny, IMAGES))


def test_a_file_without_batch_counters_loads(tiny, tmp_path, logits):
    # PyTorch before 0.4.1 had none
    state = {name: tensor for name, tensor in tiny.state_dict().items() if "num_batches" not in name}
    path = tmp_path / "old.t7"
    torch.save({"state_dict": state}, path)
    model = load_checkpoint(path, **NETWORK).build()
    assert torch.equal(logits(model, IMAGES), logits(tiny, IMAGES))
    assert model.bn1.num_batches_tracked == 0


def test_a_network_that_nobody_names_is_read_but_not_built(golden):
    loaded = load_checkpoint(golden / "resnet20_bs128_wd5e-4_model_12.t7")
    assert (loaded.model, loaded.epoch) == (None, 12)
    with pytest.raises(ValueError, match=r"model_12\.t7 does not say which network it is; name it"):
        loaded.build()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
def test_a_truncated_torch_file_is_named(golden, tmp_path, share):
    content = (golden / "resnet20_bs128_wd5e-4_model_12.t7").read_bytes()
    path = tmp_path / "half.t7"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ValueError, match=r"half\.t7 is truncated or damaged \(.+\); delete it and write or copy it again"
    ):
        load_checkpoint(path, family="resnet", depth=20)


@pytest.mark.parametrize("left", [3, 100, 2000])
def test_a_truncated_legacy_torch_file_is_named(tiny, tmp_path, left):
    path = tmp_path / "half.pth"
    torch.save(tiny.state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"half\.pth is truncated or damaged"):
        read_torch(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, [torch.zeros(1)], {"state_dict": {}}, torch.zeros(2)])
def test_a_torch_file_without_weights_is_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(
        ValueError, match=r"other\.pth holds no weights: expected named tensors.*save model\.state_dict"
    ):
        load_checkpoint(path)


def test_a_pickled_network_is_not_executed(tiny, tmp_path):
    path = tmp_path / "whole.pth"
    torch.save(tiny, path)
    with pytest.raises(ValueError, match=r"whole\.pth holds Python objects, .*; save model\.state_dict\(\) instead"):
        load_checkpoint(path)


def test_an_archive_or_text_file_is_refused(tmp_path):
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "hello")
    with pytest.raises(ValueError, match=r"some\.zip is truncated or damaged"):
        load_checkpoint(archive)
    text = tmp_path / "notes.txt"
    text.write_text("no weights here")
    with pytest.raises(
        ValueError, match=r"notes\.txt is neither a safetensors nor a torch file; .*name the right file"
    ):
        load_checkpoint(text)
