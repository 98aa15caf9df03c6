"""What is written in each format, read back by other libraries."""

import json

import h5py
import numpy as np
import pytest
import trimesh
import xarray

from exports.cases import X, Y, bowl, hessian, holed, line, plane, read_polydata, sampled
from lossatlas.exports import FORMATS, export, read_result, to_xarray
from lossatlas.exports.mesh import surface_mesh
from lossatlas.report.figures.scale import losses_scale
from lossatlas.results import SAMPLED, UNITS, VALUES, Predictions, Profile

MESHES = (".vtp", ".obj", ".stl", ".ply", ".glb")


def test_vtp_holds_points_cells_and_every_quantity(tmp_path):
    points, cells, data, active = read_polydata(export(sampled(), tmp_path / "s.vtp", log=True))
    mesh = surface_mesh(sampled(), log=True)
    assert np.array_equal(points, mesh.points) and np.array_equal(cells, mesh.cells)
    assert set(data) == {*VALUES, *SAMPLED, "log10_train_loss", "log10_test_loss"}
    assert active == "log10_train_loss"
    for name, values in data.items():
        assert np.array_equal(values, mesh.values[name])
    assert set(data["train_n"]) == {64} and set(data["test_loss_se"]) == {0.125}


@pytest.mark.parametrize("made", [plane, holed, sampled, hessian])
def test_vtk_reads_the_same_surface(made, tmp_path):
    vtk = pytest.importorskip("vtk", reason="VTK is not installed (pip install 'lossatlas[vtk]')")
    from vtk.util.numpy_support import vtk_to_numpy

    mesh = surface_mesh(made(), scale=0.5)
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(str(export(made(), tmp_path / "s.vtp", scale=0.5)))
    assert reader.CanReadFile(str(tmp_path / "s.vtp"))
    reader.Update()
    found = reader.GetOutput()
    assert np.array_equal(vtk_to_numpy(found.GetPoints().GetData()), mesh.points)
    corners = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 4)
    assert np.array_equal(corners, mesh.cells)
    data = found.GetPointData()
    assert data.GetScalars().GetName() == mesh.value
    assert {data.GetArrayName(i) for i in range(data.GetNumberOfArrays())} == set(mesh.values)
    for name, values in mesh.values.items():
        assert np.array_equal(vtk_to_numpy(data.GetArray(name)), values)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(found)
    normals.ConsistencyOff()
    normals.Update()
    assert (vtk_to_numpy(normals.GetOutput().GetPointData().GetNormals())[:, 2] > 0).any()


@pytest.mark.parametrize(
    ("ending", "reader"), [(".obj", "vtkOBJReader"), (".stl", "vtkSTLReader"), (".ply", "vtkPLYReader")]
)
def test_vtk_reads_the_same_triangles(ending, reader, tmp_path):
    vtk = pytest.importorskip("vtk", reason="VTK is not installed (pip install 'lossatlas[vtk]')")
    from vtk.util.numpy_support import vtk_to_numpy

    file = getattr(vtk, reader)()
    file.SetFileName(str(export(plane(), tmp_path / f"s{ending}")))
    file.Update()
    points = vtk_to_numpy(file.GetOutput().GetPoints().GetData())
    assert file.GetOutput().GetNumberOfCells() == 16
    assert {(x, y) for x, y in points[:, :2].tolist()} == {(x, y) for x in X for y in Y}
    np.testing.assert_allclose(points[:, 2], bowl(*points[:, :2].T), rtol=1e-6)


@pytest.mark.parametrize("ending", [".obj", ".stl", ".ply", ".glb"])
def test_solids_have_the_surface_and_its_colours(ending, tmp_path):
    mesh = surface_mesh(holed())
    found = trimesh.load(export(holed(), tmp_path / f"s{ending}"), process=False, force="mesh")
    # 32-bit numbers in STL, PLY and glTF; STL repeats the corners of each triangle
    np.testing.assert_allclose(found.triangles, mesh.points[mesh.triangles], rtol=1e-6)
    assert (found.face_normals[:, 2] > 0).all()
    if ending != ".stl":
        scale = losses_scale([holed()])
        wanted = scale.colours(scale.norm(np.log10(mesh.values["train_loss"])), bytes=True)
        # OBJ has colours between 0 and 1 in decimals
        shown = found.visual.vertex_colors.astype(int)[found.faces]
        np.testing.assert_allclose(shown, wanted[mesh.triangles], atol=1)


def test_colours_of_other_quantities_go_from_the_lowest_to_the_highest(tmp_path):
    found = trimesh.load(export(plane(), tmp_path / "s.ply", value="test_accuracy"), process=False)
    lightness = found.visual.vertex_colors[:, :3].astype(float).sum(axis=1)
    height = found.vertices[:, 2]
    assert lightness.argmax() == height.argmax() and lightness.argmin() == height.argmin()
    flat = export(plane(test_accuracy=np.full((5, 3), 0.5)), tmp_path / "flat.ply", value="test_accuracy")
    assert len(np.unique(trimesh.load(flat, process=False).visual.vertex_colors, axis=0)) == 1


RESULTS = {"plane": plane, "holed": holed, "sampled": sampled, "hessian": hessian, "line": line}


def profile():
    values = {name: np.arange(6.0).reshape(2, 3) for name in VALUES}
    return Profile(
        alpha=np.arange(3.0), **values, computed=np.ones((2, 3), bool), curvature=np.ones(2), rows=("one", "other")
    )


def predictions():
    shares = np.full((2, 4, 3), 1 / 3, dtype=np.float32)
    return Predictions(shares, np.arange(4) % 3, np.zeros(2, int), np.arange(2), members=("a", "b"))


@pytest.mark.parametrize("made", [*RESULTS.values(), profile, predictions])
def test_npz_holds_every_array_without_pickles(made, tmp_path):
    result = made()
    with np.load(export(result, tmp_path / "r.npz"), allow_pickle=False) as found:
        for name in (*result.AXES, *result.DIMS):
            assert found[name].dtype == getattr(result, name).dtype
            assert np.array_equal(found[name], getattr(result, name), equal_nan=found[name].dtype.kind == "f")
        assert found["kind"] == result.KIND and json.loads(str(found["provenance"])) == result.provenance
    again = export(result, tmp_path / "again.npz")
    assert again.read_bytes() == (tmp_path / "r.npz").read_bytes()


@pytest.mark.parametrize("made", [*RESULTS.values(), profile, predictions])
def test_xarray_opens_netcdf_with_named_axes_and_units(made, tmp_path):
    result = made()
    with xarray.open_dataset(export(result, tmp_path / "r.nc"), engine="h5netcdf") as found:
        for name, dims in {**{name: (name,) for name in result.AXES}, **result.DIMS}.items():
            assert found[name].dims == dims and found[name].attrs["units"] == UNITS.get(name, "1")
            assert found[name].dtype == getattr(result, name).dtype
            assert np.array_equal(found[name], getattr(result, name), equal_nan=found[name].dtype.kind == "f")
        assert found.attrs["kind"] == result.KIND and json.loads(found.attrs["provenance"]) == result.provenance
        xarray.testing.assert_identical(found.load(), to_xarray(result))


def test_xarray_selects_by_coordinate_and_by_label():
    assert float(to_xarray(plane()).train_loss.sel(x=0.5, y=1.0)) == bowl(0.5, 1.0)
    assert to_xarray(profile()).train_loss.sel(row="other").values.tolist() == [3, 4, 5]
    assert to_xarray(predictions()).probability.sel(member="b").dims == ("example", "class")


@pytest.mark.parametrize("made", RESULTS.values())
def test_xarray_opens_our_own_files_of_grids_and_lines(made, tmp_path):
    made().save(tmp_path / "r.h5")
    with xarray.open_dataset(tmp_path / "r.h5", engine="h5netcdf") as found:
        assert list(found.coords) == list(made().AXES)
        for name, dims in made().DIMS.items():
            assert found[name].dims == dims and found[name].attrs["unit"] == UNITS.get(name, "1")


def test_every_ending_is_written_and_capitals_count_as_well(tmp_path):
    for ending in FORMATS:
        path = tmp_path / f"new/folder/plane{ending.upper()}"
        assert export(plane(), path) == path and path.stat().st_size > 300


@pytest.mark.parametrize("ending", MESHES)
def test_same_surface_same_bytes(ending, tmp_path):
    first, second = (export(holed(), tmp_path / f"{name}{ending}").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "plane.png",
            {},
            r"cannot write 'plane.png': endings are \.vtp, \.obj, \.stl, \.ply, \.glb, \.npz, \.nc, \.h5",
        ),
        ("plane", {}, "cannot write 'plane'"),
        ("plane.npz", {"log": True}, r"value, log, cap and scale shape surfaces .*; leave them out for \.npz"),
        ("plane.h5", {"scale": 2.0}, r"leave them out for \.h5"),
    ],
)
def test_refusals(name, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(plane(), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [None, 600, 100])
def test_surface_files_replace_no_result_not_even_a_damaged_one(tmp_path, length):
    plane().save(tmp_path / "r.h5")
    before = (tmp_path / "r.h5").read_bytes()[:length]
    (tmp_path / "r.h5").write_bytes(before)
    with pytest.raises(ValueError, match="r.h5 is a result of this program"):
        export(plane(), tmp_path / "r.h5")
    assert (tmp_path / "r.h5").read_bytes() == before


def test_hessian_maps_have_no_surface_file_of_the_program(tmp_path):
    with pytest.raises(ValueError, match=r"\.h5 surface files hold planes and lines, not a hessian"):
        export(hessian(), tmp_path / "h.h5")


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ValueError, match=r"\.stl files need trimesh .*; pip install 'lossatlas\[export\]'"):
        export(plane(), tmp_path / "s.stl")


@pytest.mark.parametrize("made", [*RESULTS.values(), profile, predictions])
def test_results_are_read_whatever_they_are(made, tmp_path):
    made().save(tmp_path / "r.h5")
    found = read_result(tmp_path / "r.h5")
    assert type(found) is type(made()) and found.provenance == made().provenance


def test_files_that_hold_no_result_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.h5 does not exist"):
        read_result(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no result")
    with pytest.raises(ValueError, match="text.h5 is damaged or not an HDF5 file"):
        read_result(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(3)
    with pytest.raises(ValueError, match="other.h5 holds 'an unknown result'"):
        read_result(tmp_path / "other.h5")
