"""Direction files of Li et al.'s program, read and written."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape.cases import GOLDEN, golden_digits, golden_direction, golden_model, small_model
from lossatlas.landscape.directions import direction_between, random_direction
from lossatlas.landscape.li_files import read_li_directions, write_li_directions
from lossatlas.landscape.surfaces import plane
from lossatlas.models.weights import weights_hash

DIGITS = GOLDEN / "resnet20_digits32.h5"


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_directions_of_the_program_are_read_as_they_are(tmp_path):
    model = golden_model()
    with h5py.File(DIGITS) as golden, h5py.File(tmp_path / "d.h5", "w") as file:
        for group, key in (("xdirection", "filter_x"), ("ydirection", "filter_y")):
            golden.copy(f"directions/{key}", file, name=group)
    found = read_li_directions(tmp_path / "d.h5", model)
    wanted = [golden_direction(DIGITS, key, model) for key in ("filter_x", "filter_y")]
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.kind, ours.normalization, ours.exclude_1d, ours.span) == ("random", "filter", True, "weights")
        assert ours.weights == theirs.weights
        equal(ours.tensors, {name: tensor for name, tensor in theirs.tensors.items() if tensor.dim() > 1})
    # and they span the plane that the program computed
    with h5py.File(DIGITS) as golden:
        x, y, losses = (golden[f"plane/{name}"][()] for name in ("x", "y", "train_loss"))
    surface = plane(model, golden_digits(), directions=found, x=x[2:3], y=y)
    np.testing.assert_allclose(surface.train_loss, losses[2:3], rtol=1e-5, atol=1e-6)  # the golden files' tolerance


def made(normalization="filter", **options):
    model = small_model()
    state = model.state_dict()
    return model, tuple(
        random_direction(state, seed=3, stream=f"direction_{axis}", normalization=normalization, **options)
        for axis in "xy"
    )


@pytest.mark.parametrize("normalization", ["filter", "layer", "none"])
@pytest.mark.parametrize("exclude_1d", [True, False])
def test_random_directions_come_back_with_their_normalization(normalization, exclude_1d, tmp_path):
    model, directions = made(normalization, exclude_1d=exclude_1d)
    write_li_directions(tmp_path / "d.h5", directions, model)
    for before, after in zip(directions, read_li_directions(tmp_path / "d.h5", model), strict=True):
        equal(after.tensors, before.tensors)
        assert (after.normalization, after.exclude_1d) == (normalization, exclude_1d)
        after.require(model.state_dict())


def test_a_file_holds_every_parameter_in_the_networks_order(tmp_path):
    model, directions = made()
    write_li_directions(tmp_path / "d.h5", directions[:1], model)
    with h5py.File(tmp_path / "d.h5") as file:
        assert list(file) == ["xdirection"]
        for i, (name, weight) in enumerate(model.named_parameters()):
            values = file[f"xdirection/{i}"][()]
            assert values.shape == tuple(weight.shape)
            wanted = directions[0].tensors.get(name, torch.zeros_like(weight)).detach().numpy()
            assert np.array_equal(values, wanted)
        assert len(file["xdirection"]) == i + 1
    assert len(read_li_directions(tmp_path / "d.h5", model)) == 1


def test_directions_that_move_the_statistics_have_an_entry_per_state(tmp_path):
    start, end = small_model(), small_model()
    with torch.no_grad():
        for tensor in end.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.ones_like(tensor))
    before = direction_between(start.state_dict(), end.state_dict(), span="states")
    write_li_directions(tmp_path / "d.h5", [before], start)
    with h5py.File(tmp_path / "d.h5") as file:
        assert len(file["xdirection"]) == len(start.state_dict())
    (after,) = read_li_directions(tmp_path / "d.h5", start, kind="between")
    equal(after.tensors, before.tensors)
    assert (after.kind, after.span, after.normalization) == ("between", "states", "none")


def test_files_of_versions_without_counters_are_read(tmp_path):
    model = small_model()
    entries = [(n, t) for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")]
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for i, (_, tensor) in enumerate(entries):
            file[f"xdirection/{i}"] = np.full(tuple(tensor.shape), i + 1.0)
    (found,) = read_li_directions(tmp_path / "d.h5", model)
    assert found.span == "states"
    assert [float(tensor.flatten()[0]) for tensor in found.tensors.values()] == [i + 1.0 for i in range(len(entries))]


def test_same_directions_same_bytes(tmp_path):
    model, directions = made()
    for name in "ab":
        write_li_directions(tmp_path / name, directions, model)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_refused(tmp_path):
    model, directions = made()
    path = tmp_path / "d.h5"
    with pytest.raises(FileNotFoundError, match="d.h5 does not exist"):
        read_li_directions(path, model)
    path.write_text("no HDF5")
    with pytest.raises(ValueError, match="d.h5 is damaged or no direction file"):
        read_li_directions(path, model)
    with h5py.File(path, "w") as file:
        file["xcoordinates"] = np.arange(3.0)
    with pytest.raises(ValueError, match="d.h5 has neither xdirection nor ydirection"):
        read_li_directions(path, model)
    write_li_directions(path, directions, model)
    with pytest.raises(ValueError, match=r"d.h5 holds \d+ tensors, which do not fit the network \(2 parameters"):
        read_li_directions(path, nn.Linear(3, 2))
    with pytest.raises(ValueError, match="the direction belongs to the weights"):
        write_li_directions(path, directions, made_other())
    with pytest.raises(ValueError, match="0 directions of the spans"):
        write_li_directions(path, [], model)


def made_other():
    model = small_model()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert weights_hash(model.state_dict()) != weights_hash(small_model().state_dict())
    return model
