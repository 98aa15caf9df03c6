import time
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossatlas.results import (
    SAMPLED,
    UNITS,
    VALUES,
    HessianMap,
    History,
    Line,
    Plane,
    Profile,
    SampledPlane,
    SliceCurvatures,
    Trajectory,
    WeightHistogram,
    read_hdf5,
    write_hdf5,
)

PROVENANCE = {"seed": 0, "direction": {"kind": "random"}, "examples": [7, 0]}


def plane():
    draws = np.random.default_rng(0)
    values = {name: draws.normal(size=(3, 2)) for name in VALUES}
    values["train_loss"][0] = [np.nan, np.inf]
    values["test_loss"][1] = [-np.inf, -0.0]
    computed = np.array([[False, True], [True, True], [True, True]])
    return Plane(
        x=np.array([-1.0, 0, 1]), y=np.array([0.0, 2]), **values, computed=computed, note="why", provenance=PROVENANCE
    )


def line():
    values = {name: np.array([1.0, np.nan, np.inf, 5e-324]) for name in VALUES}
    return Line(
        alpha=np.linspace(0, 1, 4), **values, computed=np.array([True, False, True, True]), provenance=PROVENANCE
    )


def history(steps=4):
    rows = {f.name: np.array([np.nan, 1.0, 0.5]) for f in fields(History)[1:7]}
    step = np.arange(1, steps + 1)
    return History(
        epoch=np.arange(3), **rows, step=step, step_learning_rate=step / 10, step_weight_norm=step * 2.0,
        status="diverged", note="step 4: loss is nan", provenance=PROVENANCE,
    )  # fmt: skip


def made(result, *, axes, kind=None, **others):
    """A result whose arrays have the shapes that its axes give, with every kind of special value in them."""
    draws, values = np.random.default_rng(1), {name: np.linspace(-1.0, 1, n) for name, n in axes.items()}
    sizes = {"row": 2, "bin": 3, "level": 2, "direction": 3, "slice": 2, "axis": 2, "component": 3, **axes}
    for name, dims in result.DIMS.items():
        values[name] = draws.normal(size=[sizes[dim] for dim in dims])
        values[name].flat[:2] = [np.nan, -np.inf]
    others |= {} if kind is None else {"axes": kind}
    return result(**values, **others, provenance=PROVENANCE)


def integers(result, *names):
    return replace(result, **{name: np.nan_to_num(getattr(result, name), neginf=7).astype(np.int64) for name in names})


def masks(result, *names):
    return replace(result, **{name: getattr(result, name) > 0 for name in names})


def profile():
    return masks(made(Profile, axes={"alpha": 4}, rows=("direction 0", "one layer x 10"), note="why"), "computed")


def hessian():
    found = made(HessianMap, axes={"x": 3, "y": 2}, note="why")
    return integers(masks(found, "converged", "computed"), "products")


def weights():
    return integers(made(WeightHistogram, axes={"edge": 4}), "count")


def slices():
    return made(SliceCurvatures, axes={"eigenvalue": 5})


def trajectory():
    return integers(made(Trajectory, axes={"epoch": 4}, drops=("8", "12"), kind="pca"), "epoch")


def sampled():
    draws = np.random.default_rng(1)
    more = {name: draws.integers(64, 900, (3, 2)) if name.endswith("_n") else draws.random((3, 2)) for name in SAMPLED}
    return SampledPlane(**{item.name: getattr(plane(), item.name) for item in fields(Plane)}, **more)


RESULTS = {
    "plane": plane,
    "sampled plane": sampled,
    "line": line,
    "history": history,
    "profile": profile,
    "hessian": hessian,
    "weights": weights,
    "slices": slices,
    "trajectory": trajectory,
}
AXES = {
    "plane": ("x", "y"),
    "sampled plane": ("x", "y"),
    "line": ("alpha",),
    "history": ("epoch", "step"),
    "profile": ("alpha",),
    "hessian": ("x", "y"),
    "weights": ("edge",),
    "slices": ("eigenvalue",),
    "trajectory": ("epoch",),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_round_trip_keeps_every_bit(kind, tmp_path):
    result = RESULTS[kind]()
    result.save(tmp_path / "r.h5")
    loaded = type(result).load(tmp_path / "r.h5")
    for item in fields(result):
        before, after = getattr(result, item.name), getattr(loaded, item.name)
        if isinstance(before, np.ndarray):
            assert (after.dtype, after.shape) == (before.dtype, before.shape)
            assert after.tobytes() == before.tobytes()
        else:
            assert after == before
    loaded.save(tmp_path / "again.h5")
    assert (tmp_path / "r.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_bytes_do_not_depend_on_time(tmp_path):
    for kind, make in RESULTS.items():
        make().save(tmp_path / f"{kind}-first.h5")
    time.sleep(1.1)  # HDF5 would store whole seconds
    for kind, make in RESULTS.items():
        make().save(tmp_path / f"{kind}-second.h5")
        first, second = ((tmp_path / f"{kind}-{name}.h5").read_bytes() for name in ("first", "second"))
        assert first == second


@pytest.mark.parametrize("kind", RESULTS)
def test_axes_are_named_scales_and_everything_has_a_unit(kind, tmp_path):
    RESULTS[kind]().save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["kind"] == kind
        assert set(file.attrs) >= {"kind", "provenance"}
        dims = type(RESULTS[kind]()).DIMS
        for name, data in file.items():
            if name not in dims:  # rows, bins and the like are counted: their scales have no coordinates
                assert data.is_scale and ("unit" in data.attrs) == (name in AXES[kind])
                continue
            assert data.attrs["unit"] == UNITS[name]
            assert tuple(dim.label for dim in data.dims) == dims[name]
            for size, dim in zip(data.shape, data.dims, strict=True):
                if dim.label != name:
                    assert dim[0] == file[dim.label] and len(dim[0]) == size


@pytest.mark.parametrize("kind", RESULTS)
def test_xarray_opens_every_result_with_named_axes(kind, tmp_path):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (the extra `export`)")
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed (the extra `export`)")
    result = RESULTS[kind]()
    result.save(tmp_path / "r.h5")
    with xarray.open_dataset(tmp_path / "r.h5", engine="h5netcdf") as opened:
        for name, dims in result.DIMS.items():
            assert opened[name].dims == dims, name
            np.testing.assert_array_equal(opened[name].values, getattr(result, name))
        for name in AXES[kind]:
            np.testing.assert_array_equal(opened[name].values, getattr(result, name))


def test_the_mask_is_boolean_and_beside_the_values(tmp_path):
    result = plane()
    result.save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["computed"].dtype == bool
        assert [dim.label for dim in file["computed"].dims] == ["x", "y"]
        assert np.isnan(file["train_loss"][()][~file["computed"][()]]).all()


def test_a_history_of_no_steps(tmp_path):
    history(steps=0).save(tmp_path / "r.h5")
    assert History.load(tmp_path / "r.h5").step.shape == (0,)


def test_provenance_that_is_not_finite_or_nested(tmp_path):
    replace(line(), provenance={"b": float("nan"), "a": {"c": [1, None]}}).save(tmp_path / "r.h5")
    assert Line.load(tmp_path / "r.h5").provenance == {"a": {"c": [1, None]}, "b": None}


@pytest.mark.parametrize("kind", RESULTS)
def test_truncated_files_are_refused_by_name(kind, tmp_path):
    path = tmp_path / "cut.h5"
    result = RESULTS[kind]()
    result.save(path)
    content = path.read_bytes()
    for length in (0, 1, 8, 100, 512, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut.h5 is damaged or not an HDF5 file .*compute it again"):
            type(result).load(path)


@pytest.mark.parametrize("kind", RESULTS)
def test_every_altered_byte_is_refused_by_name(kind, tmp_path):
    path = tmp_path / "hole.h5"
    result = RESULTS[kind]()
    result.save(path)
    content = path.read_bytes()
    step = max(1, len(content) // 150)
    for place in [*range(0, 60), *range(60, len(content), step), len(content) - 1]:
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="hole.h5 is damaged or not an HDF5 file .*remove it and compute it again"):
            type(result).load(path)


def test_a_result_without_its_checksum_is_refused(tmp_path):
    line().save(tmp_path / "r.h5")
    (tmp_path / "bare.h5").write_bytes((tmp_path / "r.h5").read_bytes()[512:])
    with pytest.raises(ValueError, match="bare.h5 is damaged"):
        Line.load(tmp_path / "bare.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["kind"], file.attrs["provenance"] = "line", "{}"
    with pytest.raises(ValueError, match=r"other.h5 is damaged .*\(it has no checksum\); remove it"):
        Line.load(tmp_path / "other.h5")


def test_whoever_reads_a_plane_gets_the_kind_that_was_stored(tmp_path):
    sampled().save(tmp_path / "sampled.h5")
    plane().save(tmp_path / "exact.h5")
    assert type(Plane.load(tmp_path / "sampled.h5")) is SampledPlane
    assert type(Plane.load(tmp_path / "exact.h5")) is Plane
    with pytest.raises(ValueError, match="exact.h5 holds 'plane', expected 'sampled plane'"):
        SampledPlane.load(tmp_path / "exact.h5")


@pytest.mark.parametrize("make", [plane, sampled])
def test_a_plane_is_read_once(make, tmp_path, monkeypatch):
    make().save(tmp_path / "r.h5")
    original, read = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda self: (read.append(self), original(self))[1])
    Plane.load(tmp_path / "r.h5")
    assert read == [tmp_path / "r.h5"]


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.h5 does not exist"):
        Plane.load(tmp_path / "absent.h5")


def test_another_kind_of_result_is_refused(tmp_path):
    line().save(tmp_path / "r.h5")
    with pytest.raises(ValueError, match="r.h5 holds 'line', expected 'plane'"):
        Plane.load(tmp_path / "r.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(ValueError, match="foreign.h5 holds 'an unknown result', expected 'line'"):
        Line.load(tmp_path / "foreign.h5")


def test_a_file_that_lacks_something_is_refused_by_name(tmp_path):
    path = tmp_path / "poor.h5"
    line().save(path)
    arrays, attributes = read_hdf5(path, "line")
    arrays = {name: (Line.DIMS[name], value) for name, value in arrays.items() if name in Line.DIMS}
    write_hdf5(path, {"alpha": line().alpha}, {n: a for n, a in arrays.items() if n != "test_loss"}, attributes)
    with pytest.raises(ValueError, match="poor.h5 lacks or adds test_loss; remove it and compute it again"):
        Line.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.h5"
    line().save(path)
    before = path.read_bytes()
    with pytest.raises(IndexError):
        write_hdf5(path, {"x": [1]}, {"value": (("x", "y"), [1])}, {"kind": "line"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_attributes_are_strings_or_json(tmp_path):
    write_hdf5(tmp_path / "r.h5", {"x": [1, 2]}, {}, {"kind": "k", "provenance": {}, "n": 3})
    arrays, attributes = read_hdf5(tmp_path / "r.h5", "k")
    assert arrays["x"].tolist() == [1, 2]
    assert attributes == {"kind": "k", "provenance": {}, "n": "3"}


@pytest.mark.parametrize("kind", RESULTS)
def test_paths_may_be_strings(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = RESULTS[kind]()
    result.save("r.h5")
    assert type(result).load("r.h5").provenance == result.provenance
    with pytest.raises(FileNotFoundError, match="absent.h5 does not exist"):
        type(result).load("absent.h5")
    (tmp_path / "cut.h5").write_bytes(b"no")
    with pytest.raises(ValueError, match="cut.h5 is damaged"):
        type(result).load("cut.h5")


def test_nan_of_either_sign_are_the_same_bytes(tmp_path):
    """Processors give either, and a journal's reader may give the other."""
    for name, bad in (("plus", np.nan), ("minus", -np.nan)):
        values = {key: np.array([0.5, bad]) for key in Line.DIMS if key != "computed"}
        Line(alpha=np.arange(2.0), computed=np.ones(2, bool), **values).save(tmp_path / name)
    assert np.signbit(-np.nan)
    assert (tmp_path / "plus").read_bytes() == (tmp_path / "minus").read_bytes()
