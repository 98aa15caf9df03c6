from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lossatlas.models.checkpoint import save_checkpoint
from lossatlas.own.loading import as_weights, find, find_function, load_data, load_model


def test_classes_functions_and_instances_give_networks(folder):
    expected = torch.load("net.pt")
    for name in ("Net", "instance"):
        model = load_model(f"mymodule:{name}", Path("net.pt"))
        assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())
    assert find("data", "mymodule:Net.forward")


@pytest.mark.parametrize("kind", ["safetensors", "ours", "compiled", "nested"])
def test_weights_of_every_form(folder, kind):
    state, path = torch.load("net.pt"), Path(f"{kind}.weights")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "ours":
        save_checkpoint(path, state, family=None, options={}, num_classes=2, input_size=1, epoch=3)
    elif kind == "compiled":
        torch.save({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state, "epoch": 4}, path)
    model = load_model("mymodule:Net", path)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_tied_weights_may_be_in_the_file_once(folder):
    model = load_model("mymodule:Tied", None)
    state = {name: t + 1 for name, t in model.state_dict().items() if name != "second.weight"}
    save_file(state, "tied.safetensors")
    found = load_model("mymodule:Tied", Path("tied.safetensors"))
    assert torch.equal(found.second.weight, state["first.weight"]) and found.second.weight is found.first.weight


class Dangerous:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {k: v for k, v in s.items() if k != "0.bias"},
            "net2.pt does not fit mymodule:Net: the file lacks '0.b",
        ),
        (lambda s: {**s, "3.bias": torch.ones(1)}, "does not fit mymodule:Net: the model has no '3.bias'"),
        (
            lambda s: {f"a.{k}": v for k, v in s.items()},
            "lacks '0.weight' and 3 more; the model has no 'a.0.weight' and",
        ),
        (lambda s: {**s, "0.bias": torch.ones(2)}, r"'0.bias' has shape .2,. in the file and .6,. in the model"),
        (lambda s: {"model": Dangerous()}, "holds Python objects, which are not loaded"),
        (lambda s: 3, "holds no weights"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_executed(folder, change, message, capsys):
    torch.save(change(torch.load("net.pt")), "net2.pt")
    with pytest.raises(ValueError, match=message):
        load_model("mymodule:Net", Path("net2.pt"))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mymodule", "model = 'mymodule' names no object; say module:name, such as model=mymodule:model"),
        ("nomodule:Net", "model = 'nomodule:Net': there is no module 'nomodule' in .* or among the installed ones"),
        ("mymodule.sub:Net", r"model = 'mymodule.sub:Net': there is no module 'mymodule.sub'|mymodule.sub cannot be"),
        ("needy:Net", "model = 'needy:Net': needy cannot be imported .No module named 'not_installed'.; install it"),
        ("broken:Net", r"model = 'broken:Net': broken cannot be imported .ZeroDivisionError: division by zero."),
        ("mymodule:Nett", "mymodule has no 'Nett'; did you mean Net"),
        ("mymodule:zzz", "mymodule has no 'zzz'; it has SimpleNamespace, torch"),
        ("mymodule:number", "model = 'mymodule:number' gives a int; a torch.nn.Module is needed"),
        ("mymodule:data", "model = 'mymodule:data' gives a tuple; a torch.nn.Module is needed"),
        (
            "mymodule:Wide",
            "model = 'mymodule:Wide' cannot be made without arguments .TypeError: .*width.*; name a func",
        ),
    ],
)
def test_what_is_no_network_is_refused(folder, text, message):
    Path("needy.py").write_text("import not_installed\n")
    Path("broken.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match=message):
        load_model(text, None)


def test_a_checkpoint_that_is_not_there(folder):
    with pytest.raises(FileNotFoundError, match="checkpoint no.pt does not exist"):
        load_model("mymodule:Net", Path("no.pt"))


def test_data_from_objects_functions_and_files(folder):
    for text in ("mymodule:data", "mymodule:pair"):
        x, y = load_data("data", text)
        assert x.shape == (40, 3) and y.dtype == torch.int64
    assert len(load_data("data", "mymodule:Examples")) == len(load_data("data", "mymodule:examples")) == 40
    images, labels = load_data("data", "data.npz")
    assert images.shape == (10, 3) and len(labels) == 10
    assert len(load_data("test", "data.npz", split="test_")[1]) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no.npz", "data = 'no.npz': there is no such file"),
        ("other.npz", "data = 'other.npz' has no 'images', it has x, y"),
        ("bytes.npz", "data = 'bytes.npz' has images of bytes, which are not scaled here; store them as"),
        ("broken.npz", "data = 'broken.npz' is damaged or no file of arrays"),
        ("objects.npz", "data = 'objects.npz' is damaged or no file of arrays"),
        ("mymodule:Wide", "data = 'mymodule:Wide' cannot be made without arguments"),
        ("mymodule:failing", "data = 'mymodule:failing' fails .OSError: no disk."),
        ("data.csv", "data = 'data.csv' names no object; say module:name, such as data=mymodule:data"),
    ],
)
def test_impossible_data_are_refused(folder, text, message):
    np.savez("other.npz", x=np.ones(3), y=np.ones(3))
    np.savez("bytes.npz", images=np.ones((3, 2), dtype=np.uint8), labels=np.ones(3))
    np.savez("objects.npz", images=np.array([{}, {}], dtype=object), labels=np.ones(2))
    Path("broken.npz").write_bytes(b"PK nothing")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_data("data", text)


def test_losses_are_functions_or_made_from_classes(folder):
    assert find_function("loss", None) is None
    assert find_function("loss", "mymodule:mse").__name__ == "mse"
    assert find_function("loss", "mymodule:Smooth").label_smoothing == 0.1
    assert find_function("loss", "torch.nn.functional:l1_loss") is torch.nn.functional.l1_loss
    with pytest.raises(
        ValueError, match="loss = 'mymodule:number' is a int; a function of outputs and targets is need"
    ):
        find_function("loss", "mymodule:number")


def test_inputs_take_the_type_of_the_weights_and_a_note_says_so():
    pair = np.ones((3, 2)), np.zeros(3, dtype=int)
    (inputs, labels), note = as_weights("data", pair, torch.float32)
    assert inputs.dtype == torch.float32 and labels is pair[1]
    assert note == "data: inputs cast from float64 to float32, the type of the weights"
    for kept in ((inputs, labels), (torch.ones(3, dtype=torch.int64), labels), [(inputs, labels)], {"x": inputs}):
        assert as_weights("data", kept, torch.float32) == (kept, "")
