import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import lossatlas
from lossatlas.own.command import duration, estimate, map_own
from lossatlas.own.loading import find

NAMED = ["model=mymodule:Net", "checkpoint=net.pt", "data=mymodule:data"]


PROGRAM = [sys.executable, "-c", "from lossatlas.cli import main; main()"]


def cli(folder, *words, **more):
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **more,
    )


def net():
    find("model", "mymodule:Net")  # puts the folder on the path
    import mymodule

    model = mymodule.Net()
    model.load_state_dict(torch.load("net.pt"))
    return model, mymodule


def test_a_plane_is_that_of_python(folder):
    text, account = map_own("plane", [*NAMED, "x=-1:1:5", "y=0,1", "test=data.npz"], to=[folder / "surface.npz"])
    model, module = net()
    images = torch.from_numpy(np.load("data.npz")["images"])
    test = images, torch.arange(10) % 2
    expected = lossatlas.plane(model, module.data(), test, x=np.linspace(-1, 1, 5), y=[0, 1])
    found = lossatlas.Plane.load("plane.h5")
    assert found.train_loss.tobytes() == expected.train_loss.tobytes()
    assert found.test_loss.tobytes() == expected.test_loss.tobytes()
    assert (folder / "plane.png").read_bytes().startswith(b"\x89PNG")
    assert np.array_equal(np.load("surface.npz")["train_loss"], found.train_loss)
    assert account["centre_loss"] == found.train_loss[2, 0] and account["examples"] == {"train": 40, "test": 10}
    assert text.startswith("plane of mymodule:Net: centre loss ") and "surface.npz" in text
    assert not list(folder.glob("*.journal*"))


def test_lines_and_hessian_maps_take_other_losses(folder):
    words = ["model=mymodule:Net", "checkpoint=net.pt", "data=mymodule:heights", "loss=mymodule:mse"]
    map_own("line", [*words, "alpha=-1:1:3", "out=a/b.h5"])
    _, account = map_own("hessian", [*words, "x=0,1", "y=0"])
    model, module = net()
    line = lossatlas.Line.load("a/b.h5")
    expected = lossatlas.line(model, module.heights(), alpha=[-1, 0, 1], loss=module.mse)
    assert line.train_loss.tobytes() == expected.train_loss.tobytes() and np.isnan(line.train_accuracy).all()
    found = lossatlas.HessianMap.load("hessian.h5")
    assert found.lambda_max.shape == (2, 1) and account["converged"] == 1
    assert account["lambda_max"] == found.lambda_max.max() and (folder / "hessian.png").exists()


def test_a_sampled_plane(folder):
    words = [*NAMED, "x=-1:1:9", "rtol=0.05", "atol=0.01"]
    _, account = map_own("plane", words)
    assert account["kind"] == "sampled plane" and account["provenance"]["sampling"]["rtol"] == 0.05
    assert not list(folder.glob("*.journal*"))


def test_a_dry_run_measures_a_point_and_writes_nothing(folder):
    before = sorted(folder.iterdir())
    text, values = estimate("plane", [*NAMED, "test=data.npz", "x=-1:1:11", "device=cpu"])
    assert text.startswith("plane: 121 points x 40 train + 10 test examples x ") and "s per point (measured)" in text
    assert values["seconds"] == pytest.approx(121 * values["seconds_per_point"]) and values["seconds_per_point"] > 0
    assert estimate("hessian", [*NAMED, "x=0"])[1]["points"] == 1
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.012, "0.012 s"), (119, "1.2e+02 s"), (7200, "2.0 hours"), (240, "4.0 m")]
)
def test_durations(seconds, text):
    assert duration(seconds).startswith(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data=mymodule:narrow"], "Net.* on .*mat1 and mat2 shapes"),
        (["data=mymodule:number"], "train is a int; data are a pair"),
        (["data=mymodule:heights"], "has labels of type float32"),
        (["data=mymodule:data", "device=cuda:99"], "device = 'cuda:99' is not here"),
        (["data=mymodule:data", "device=foo"], "device = 'foo' is impossible; allowed: cpu, cuda, cuda:N; say device"),
        (
            ["data=mymodule:wide"],
            "mat1 and mat2 must have the same dtype, but got Double and Float; pass inputs of the size and type that",
        ),
        (
            ["data=mymodule:data", "out=mine.h5"],
            "out = 'mine.h5' is there already; choose another name, or replace it by --force",
        ),
    ],
)
def test_what_does_not_fit_is_refused(folder, words, message):
    (folder / "mine.h5").write_text("something else")
    with pytest.raises(ValueError, match=message):
        map_own("plane", ["model=mymodule:Net", *words, "x=0"])


@pytest.mark.parametrize(
    ("kind", "words", "to", "message"),
    [
        ("plane", [], "a.xyz", "cannot write 'a.xyz': endings are .vtp"),
        ("line", [], "a.vtp", ".vtp files hold surfaces over a plane, not a line; take .npz or .nc"),
        ("hessian", [], "a.h5", ".h5 surface files hold planes and lines, not a hessian"),
        ("plane", ["x=-1:1:3", "y=0"], "a.obj", "cannot write 'a.obj': the plane has 3 x 1 points; a surface needs at"),
        ("plane", ["out=a.h5"], "a.h5", "to and out both name 'a.h5'; choose another"),
        ("plane", ["out=mine.npz/a.h5"], None, "out = 'mine.npz/a.h5' is impossible: .*mine.npz is a file, no folder"),
        ("plane", ["out=folder.h5"], None, "out = 'folder.h5' is a folder; name a file in it"),
        ("plane", [], "mine.npz", "to = 'mine.npz' is there already; choose another name, or replace it by --force"),
        ("plane", ["out=fig.h5"], None, "the figure of out = 'fig.png' is there already"),
    ],
)
def test_files_are_refused_before_anything_is_loaded_or_measured(folder, kind, words, to, message):
    (folder / "folder.h5").mkdir()
    for name in ("mine.npz", "fig.png"):
        (folder / name).write_text("mine")
    for function in (map_own, estimate):
        with pytest.raises(ValueError, match=message):
            function(kind, ["model=no:Net", "data=no:data", *words], to=[Path(to)] if to else [])
    assert (folder / "mine.npz").read_text() == (folder / "fig.png").read_text() == "mine"
    assert len(list(folder.iterdir())) == 6


def test_what_is_read_is_never_replaced_and_the_rest_by_force(folder):
    words = ["model=mymodule:Net", "data=data.npz", "x=-1:1:3", "y=0"]
    before = (folder / "data.npz").read_bytes()
    for more, to in (([], "data.npz"), (["data=mymodule:data", "test=data.npz"], "./data.npz")):
        given = [word for word in words if not (more and word.startswith("data="))] + more
        with pytest.raises(ValueError, match="to = 'data.npz' is the file that is read .data.npz.; choose another"):
            map_own("plane", given, to=[Path(to)], force=True)
    np.savez(folder / "weights.h5", a=1)
    with pytest.raises(ValueError, match="out = 'weights.h5' is the file that is read"):
        map_own("plane", [*words, "checkpoint=weights.h5", "out=weights.h5"], force=True)
    assert (folder / "data.npz").read_bytes() == before

    map_own("plane", words)
    first = (folder / "plane.h5").read_bytes()
    with pytest.raises(ValueError, match="out = 'plane.h5' is there already"):
        map_own("plane", [*words, "seed=1"])
    assert (folder / "plane.h5").read_bytes() == first
    map_own("plane", [*words, "seed=1"], force=True)
    assert (folder / "plane.h5").read_bytes() != first


def test_numpys_own_type_is_cast_and_the_account_says_so(folder):
    single = np.load("data.npz")
    np.savez("double.npz", images=single["images"].astype(float), labels=single["labels"])
    words = ["model=mymodule:Net", "checkpoint=net.pt", "alpha=-1:1:3"]
    text, account = map_own("line", [*words, "data=double.npz"])
    assert account["note"] == "data: inputs cast from float64 to float32, the type of the weights"
    assert account["note"] in text
    map_own("line", [*words, "data=data.npz", "out=single.h5"])
    found = [lossatlas.Line.load(name).train_loss.tobytes() for name in ("line.h5", "single.h5")]
    assert found[0] == found[1]


def test_a_try_that_failed_does_not_stand_in_the_way_of_the_next(folder):
    words = ["model=mymodule:Net", "checkpoint=net.pt", "alpha=0,1"]
    with pytest.raises(ValueError, match="mat1 and mat2 shapes"):
        map_own("line", [*words, "data=mymodule:narrow"])
    map_own("line", [*words, "data=mymodule:data"])
    assert not list(folder.glob("*.journal"))


def test_a_dry_run_names_all_files_and_what_a_journal_holds(folder):
    text, values = estimate("line", [*NAMED, "alpha=-1:1:9"], to=[Path("a.npz")])
    assert text.endswith("would write line.h5, line.png, a.npz") and values["kept"] == 0
    (folder / "line.h5.journal").write_text("head\n" + "point\n" * 4)
    text, values = estimate("line", [*NAMED, "alpha=-1:1:9"])
    assert text.startswith("line: 5 points x ") and text.endswith(
        "4 more points are in line.h5.journal, from which the same command goes on"
    )
    assert values["kept"] == 4 and values["seconds"] == pytest.approx(5 * values["seconds_per_point"])


def test_the_command_outside_of_a_checkout(folder):
    done = cli(folder, "plane", *NAMED, "x=-1:1:3", "--json")
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["points"] == 9 and account["files"] == ["plane.h5", "plane.png"] and done.stderr == ""
    quiet = cli(folder, "line", *NAMED, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert cli(folder, "line", *NAMED, "--force", "--quiet").returncode == 0
    wrong = cli(folder, "plane", "model=mymodule:Nett", "data=mymodule:data", "out=new.h5")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert wrong.stderr.startswith("lossatlas: model = 'mymodule:Nett': mymodule has no 'Nett'; did you mean Net?")


SLOW = """
import time

import mymodule
import torch


def slow(outputs, targets):
    time.sleep(0.2)
    return (outputs.mean(1) - targets) ** 2
"""


def test_a_killed_command_goes_on_with_the_same_bytes(folder):
    (folder / "slowly.py").write_text(SLOW)
    words = ["model=mymodule:Net", "checkpoint=net.pt", "data=mymodule:heights", "loss=slowly:slow", "alpha=-1:1:21"]
    journal = folder / "line.h5.journal"
    process = subprocess.Popen([*PROGRAM, "line", *words], cwd=folder)
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.exists()
    kept = journal.read_text().count("\n") - 1
    assert 0 < kept < 21
    (folder / "slowly.py").write_text(SLOW.replace("0.2", "0.2 * 1"))
    changed = cli(folder, "line", *words)
    assert changed.returncode == 2 and "holds points of other data, weights, loss or grid" in changed.stderr
    (folder / "slowly.py").write_text(SLOW)
    assert cli(folder, "line", *words).returncode == 0 and not journal.exists()
    found = lossatlas.Line.load(folder / "line.h5")
    model, module = net()
    whole = lossatlas.line(model, module.heights(), alpha=np.linspace(-1, 1, 21), loss=module.mse)
    np.testing.assert_allclose(found.train_loss, whole.train_loss, rtol=1e-12)
