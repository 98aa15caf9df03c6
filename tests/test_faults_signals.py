"""Commands that are told to end: one line, no traceback, nobody left behind, and the same bytes in the end."""

import os
import signal

import pytest

from fault_cases import DATA, TRAIN, Place, alive, end_session, ended, until
from lossatlas import cli
from lossatlas.files import sha256_path
from lossatlas.stages.stopping import StoppedError

LONG = ("sizes.epochs=20", "datasets.digits.train=128", "runs.resnet20.train.checkpoints=[1,2]")
LINE = "lossatlas: stopped by {}; what was finished is kept, the same command goes on from there\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("whole") / "place", *LONG)
    place.publish(*DATA)
    place.publish(*TRAIN)
    return sha256_path(place.published(*TRAIN))


def states(place):
    return list((place.workspace.scratch / "stages" / "train").rglob("state.pt"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stage_ends_with_one_line_and_goes_on_from_there(tmp_path, undisturbed, number):
    place = Place(tmp_path / "place", *LONG)
    place.publish(*DATA)
    process = place.start("stage", *TRAIN)
    try:
        until(lambda: states(place))
        os.kill(process.pid, number)
        code, out, err = ended(process)
    finally:
        end_session(process)
    assert (code, out, err) == (128 + number, "", LINE.format(number.name))
    assert states(place) and not place.published(*TRAIN).exists()
    assert not list(place.workspace.scratch.rglob("*.part"))
    code, out, err = place.run("stage", *TRAIN)
    assert (code, err) == (0, "") and "computed" in out
    assert sha256_path(place.published(*TRAIN)) == undisturbed


@pytest.mark.parametrize("command", ["stage", "prefill", "export", "animate", "check", "doctor"])
def test_only_commands_that_keep_something_say_so(command, monkeypatch, capsys):
    def stopped():
        raise StoppedError(signal.SIGTERM)

    monkeypatch.setattr(cli, "raise_on_signals", lambda: None)
    monkeypatch.setattr(cli, "app", stopped)
    monkeypatch.setattr("sys.argv", ["lossatlas", command])
    with pytest.raises(StoppedError):
        cli.main()
    kept = command in ("stage", "prefill")
    assert capsys.readouterr().err == (LINE.format("SIGTERM") if kept else "lossatlas: stopped by SIGTERM\n")


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As of a command that a script starts in the background."""
    place = Place(tmp_path / "place")
    setup = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    late = "import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"
    code, _, err = place.run("stage", "plan", setup=f"{setup}\n{late}")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("number", "whole", "executor"),
    [
        (signal.SIGTERM, False, "processes"),
        (signal.SIGINT, True, "processes"),
        (signal.SIGTERM, False, "inline"),
        (signal.SIGINT, True, "inline"),
    ],
    ids=["SIGTERM to the parent", "Ctrl-C to all", "SIGTERM without workers", "Ctrl-C without workers"],
)
def test_a_prefill_ends_with_its_workers(tmp_path, number, whole, executor):
    place = Place(tmp_path / "place", "sizes.epochs=200", f"executor={executor}")
    process = place.start("prefill")
    try:
        until(lambda: states(place))
        (os.killpg if whole else os.kill)(process.pid, number)
        code, _, err = ended(process)
        assert (code, err) == (128 + number, LINE.format(number.name))
        assert not alive(process)
    finally:
        end_session(process)
    assert states(place)


def test_workers_end_when_their_parent_was_killed(tmp_path):
    place = Place(tmp_path / "place", "sizes.epochs=2000")
    process = place.start("prefill")
    try:
        until(lambda: states(place))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not alive(process), 120)
    finally:
        end_session(process)
        process.communicate()


def test_a_worker_that_is_killed_is_a_line_for_each_of_its_stages(tmp_path):
    place = Place(tmp_path / "place", "sizes.epochs=2000")
    process = place.start("prefill")
    try:
        until(lambda: states(place))
        os.kill(next(number for number, command in alive(process).items() if "spawn_main" in command), signal.SIGKILL)
        code, out, err = ended(process)
    finally:
        end_session(process)
    assert code == 1 and "Traceback" not in err
    failed = [line for line in err.splitlines() if " failed: " in line]
    assert failed and all(line.endswith("run the same command again") for line in failed), err
    assert "not begun, for want of those:" in err and " failed\n" in out


# the orphan stands still with the lock in hand, before it publishes, until it is let go
ORPHAN = """
import os, time
if os.fork(): os._exit(0)  # the parent is gone at once, its child works
import lossatlas.stages.runner as runner
plain = runner.publish
def publish(*paths):
    open("ready", "w").close()
    while not os.path.exists("go"): time.sleep(0.05)
    plain(*paths)
runner.publish = publish
"""


def test_a_second_command_waits_for_an_orphan_with_a_line(tmp_path):
    """The orphan of a killed run works on; the next run of the same stage finds its lock."""
    place = Place(tmp_path / "place", "sizes.epochs=1", "runs.resnet20.train.checkpoints=[1]")
    place.publish(*DATA)
    orphan = place.start("stage", *TRAIN, setup=ORPHAN)
    root = place.workspace.root
    try:
        until(lambda: (root / "ready").is_file())
        second = place.start("stage", *TRAIN)
        line = second.stderr.readline()
        (root / "go").touch()
        code, out, err = ended(second)
    finally:
        end_session(orphan)
        orphan.communicate()
    assert line.startswith("waiting for another process that owns ") and ".lock" in line
    assert (code, err) == (0, "") and "finished before" in out
    assert [path.name for path in place.published(*TRAIN).parent.iterdir()] == ["resnet20"]


# it stands still in the midst of its publication until it is let go
COPYING = """
import os, shutil, time
os.environ["LOSSATLAS_SCRATCH"] = "scratch of the first"
plain = shutil.copytree
def copytree(source, target, **options):
    found = plain(source, target, **options)
    open("ready", "w").close()
    while not os.path.exists("go"): time.sleep(0.05)
    return found
shutil.copytree = copytree
"""


def test_commands_with_other_scratch_publish_to_one_place_in_turn(tmp_path):
    place = Place(tmp_path / "place")
    root, target = place.workspace.root, place.published(*DATA)
    first = place.start("stage", *DATA, setup=COPYING)
    try:
        until(lambda: (root / "ready").is_file())
        (half,) = target.parent.glob(".digits.*.part/new")
        second = place.start("stage", *DATA)
        line = second.stderr.readline()
        assert half.is_dir() and not target.exists()
        (root / "go").touch()
        codes, errors = zip(*((code, err) for code, _, err in map(ended, (first, second))), strict=True)
    finally:
        end_session(first)
    assert (codes, errors) == ((0, 0), ("", ""))
    assert line == f"waiting for another process that owns {root / '.lossatlas' / 'publication.lock'}\n"
    assert [path.name for path in target.parent.iterdir()] == ["digits"]
