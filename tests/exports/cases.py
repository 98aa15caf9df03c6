"""Results with closed forms on grids that are not square, and a reader of VTK files of its own."""

import re
from xml.etree import ElementTree

import numpy as np

from lossatlas.results import SAMPLED, VALUES, HessianMap, Line, Plane, SampledPlane

X, Y = np.linspace(-1, 1, 5), np.linspace(0, 1, 3)


def bowl(x, y):
    """A loss whose value tells where it is."""
    return 0.5 + 2 * x**2 + 3 * y + 0.25 * x * y


def plane(x=X, y=Y, **changes):
    xs, ys = np.meshgrid(x, y, indexing="ij")
    loss = bowl(xs, ys)
    values = {
        "train_loss": loss,
        "test_loss": loss + 1,
        "train_accuracy": 0.9 - loss / 20,
        "test_accuracy": 0.8 - loss / 20,
    }
    values |= {"computed": np.ones(loss.shape, dtype=bool), "note": "", "provenance": {"seed": 0}}
    return Plane(x=x, y=y, **values | changes)


def holed():
    """The bowl with a point that was not computed, one that overflowed, and no test set."""
    found = plane()
    arrays = {name: getattr(found, name).copy() for name in (*VALUES, "computed")}
    for name in VALUES:
        arrays[name][1, 1] = np.nan
    arrays["computed"][1, 1] = False
    arrays["train_loss"][4, 2] = np.inf
    arrays["test_loss"][:], arrays["test_accuracy"][:] = np.nan, np.nan
    return Plane(x=X, y=Y, **arrays, note="1 point was not computed")


def sampled():
    found = plane()
    more = {name: np.full((5, 3), 64 if name.endswith("_n") else 0.125) for name in SAMPLED}
    more |= {name: values.astype(np.int64) for name, values in more.items() if name.endswith("_n")}
    return SampledPlane(**{name: getattr(found, name) for name in ("x", "y", *VALUES, "computed")}, **more)


def hessian():
    xs, ys = np.meshgrid(X, Y, indexing="ij")
    high, low = 4 + xs, -0.1 * (ys + 1)
    zeros = np.zeros(xs.shape)
    return HessianMap(
        x=X, y=Y, lambda_max=high, lambda_min=low, residual_max=zeros, residual_min=zeros,
        products=zeros.astype(np.int64), converged=zeros == 0, computed=zeros == 0,
    )  # fmt: skip


def line():
    alpha = np.linspace(-0.5, 1.5, 4)
    values = {"train_loss": alpha**2, "train_accuracy": 1 - alpha**2 / 3}
    missing = {name: np.full(4, np.nan) for name in ("test_loss", "test_accuracy")}
    return Line(alpha=alpha, **values, **missing, computed=np.ones(4, dtype=bool))


def read_polydata(path):
    """The points, quadrilaterals, point data and active scalar of a VTK file with raw appended data."""
    head, _, raw = path.read_bytes().partition(b'<AppendedData encoding="raw">')
    raw = raw[raw.index(b"_") + 1 :]
    # what is left without the raw part is XML, but for its end
    root = ElementTree.fromstring(re.sub(rb"\s*$", b"", head) + b"</VTKFile>")
    assert root.attrib["header_type"] == "UInt64"
    order = {"LittleEndian": "<", "BigEndian": ">"}[root.attrib["byte_order"]]

    def array(element):
        at, kind = int(element.attrib["offset"]), element.attrib["type"].lower()
        size = np.frombuffer(raw, f"{order}u8", 1, at)[0]
        found = np.frombuffer(raw[at + 8 : at + 8 + int(size)], np.dtype(kind).newbyteorder(order))
        return found.reshape(-1, 3) if element.attrib["NumberOfComponents"] == "3" else found

    piece = root.find("PolyData/Piece")
    points = array(piece.find("Points/DataArray"))
    polys = {element.attrib["Name"]: array(element) for element in piece.findall("Polys/DataArray")}
    assert piece.attrib["NumberOfPoints"] == str(len(points))
    assert piece.attrib["NumberOfPolys"] == str(len(polys["offsets"]))
    assert np.array_equal(polys["offsets"], 4 * np.arange(1, len(polys["offsets"]) + 1))
    data = {element.attrib["Name"]: array(element) for element in piece.findall("PointData/DataArray")}
    return points, polys["connectivity"].reshape(-1, 4), data, piece.find("PointData").attrib["Scalars"]
