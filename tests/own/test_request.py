from pathlib import Path

import numpy as np
import pytest

from lossatlas.own.request import coordinates, parse

NAMED = ("model=m:Net", "data=m:data")


def test_the_least_that_can_be_asked():
    found = parse("plane", NAMED)
    assert found.points == 625 and found.checkpoint is None and found.sampling == {}
    assert found.axes["x"][12] == 0 and np.array_equal(found.axes["x"], found.axes["y"])
    assert (found.out, found.figure, found.journal) == (Path("plane.h5"), Path("plane.png"), Path("plane.h5.journal"))
    assert found.options == {"batch_size": 128, "device": "cpu", "precision": "float32"}
    assert parse("line", NAMED).points == 51 and parse("hessian", NAMED).points == 25


def test_everything_that_can_be_asked():
    words = "checkpoint=a/net.pt test=m:test loss=m:f accuracy=m:g x=-1:1:3 y=0,2 seed=4 normalization=layer graph=true"
    more = "exclude_1d=false batch_size=7 device=cuda:1 precision=bfloat16 out=b/s.h5 rtol=0.02 atol=0.01"
    found = parse("plane", [*NAMED, *words.split(), *more.split()])
    assert found.axes["y"].tolist() == [0, 2] and found.points == 6 and found.checkpoint == Path("a/net.pt")
    assert found.directions == {"seed": 4, "normalization": "layer", "exclude_1d": False}
    expected = {"batch_size": 7, "device": "cuda:1", "precision": "bfloat16", "graph": True}
    assert found.options == expected and found.sampling == {"rtol": 0.02, "atol": 0.01}
    assert (found.test, found.loss, found.accuracy) == ("m:test", "m:f", "m:g")
    options = parse("hessian", [*NAMED, "tolerance=0.01", "max_products=9", "weights=all"]).options
    assert (options["tolerance"], options["max_products"], options["weights"]) == (0.01, 9, "all")


def test_coordinates():
    assert coordinates("x", "-1:1:5").tolist() == [-1, -0.5, 0, 0.5, 1]
    assert coordinates("x", "-0.3:0.3:7")[3] == 0
    assert coordinates("x", "2,-1e-1").tolist() == [2, -0.1]


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("plane", ["data=m:data"], "model= is missing; say model=mymodule:Net"),
        ("plane", ["model=m:Net"], "data= is missing; say data=mymodule:data"),
        ("plane", [*NAMED, "resnet20"], "'resnet20' is no key=value, such as model=mymodule:Net; keys: model, check"),
        ("plane", [*NAMED, "seed="], "'seed=' is no key=value"),
        ("plane", [*NAMED, "modle=m:Net"], "modle= is no key of plane; did you mean model="),
        ("line", [*NAMED, "x=-1:1:3"], "x= is no key of line; keys: model, .*alpha"),
        ("plane", [*NAMED, "model=m:Net"], "model= is given twice"),
        (
            "plane",
            [*NAMED, "x=-1:1"],
            "x = '-1:1' is impossible; say min:max:points, such as -1:1:25, or numbers a,b,c",
        ),
        ("plane", [*NAMED, "x=a,b"], "x = 'a,b' is impossible"),
        ("plane", [*NAMED, "x=0:nan:3"], "x = '0:nan:3' is impossible"),
        ("plane", [*NAMED, "y=-1:1:0"], "y = '-1:1:0' is impossible"),
        ("plane", [*NAMED, "seed=-1"], "seed = '-1' is impossible; it is a whole number of at least 0"),
        ("plane", [*NAMED, "batch_size=0"], "batch_size = '0' is impossible; it is a whole number of at least 1"),
        ("plane", [*NAMED, "rtol=much"], "rtol = 'much' is impossible; it is a number of at least 0"),
        ("plane", [*NAMED, "precision=half"], "precision = 'half' is impossible; allowed: float32, tf32, bfloat16"),
        ("plane", [*NAMED, "exclude_1d=yes"], "exclude_1d = 'yes' is impossible; allowed: true, false"),
        ("plane", [*NAMED, "out=surface.png"], "out = 'surface.png' is impossible; results are .h5 files"),
        ("hessian", [*NAMED, "max_products=2"], "max_products = '2' is impossible; .* at least 3"),
    ],
)
def test_impossible_requests_are_refused(kind, words, message):
    with pytest.raises(ValueError, match=message):
        parse(kind, words)
