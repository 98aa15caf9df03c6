"""Commands on a Dask cluster: stages as tasks, and what happens when parts of it go away."""

import os
import signal

import pytest

from cluster.cases import Cluster
from fault_cases import DATA, PLANE, TRAIN, Place, alive, end_session, ended, until
from lossatlas.files import sha256_path

SHORT = ("sizes.epochs=1", "runs.resnet20.train.checkpoints=[]")
WIDE = (*SHORT, "sizes.plane.points=24")
# a preset whose stages all succeed in seconds
GROUPS = "lines profiles trajectories probes invariances slices curves planes3 fges ensembles"
FEW = (*SHORT, "~planes.resnet20_epoch1", *(f"~{group}" for group in GROUPS.split()))


# a prefill of four stages
COMPUTING = """
import lossatlas.stages.prefill as stages
every = stages.stage_keys
stages.stage_keys = lambda params: [key for key in every(params) if key[1] in ("digits", "resnet20")]
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)


def journal(place):
    return next(iter((place.workspace.scratch / "stages" / "plane").rglob("points.jsonl")), None)


def lines(place):
    return len(journal(place).read_text().splitlines()) if journal(place) else 0


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The plane's hash, computed in one process."""
    place = Place(tmp_path_factory.mktemp("wide") / "place", *WIDE)
    for key in (DATA, TRAIN, PLANE):
        place.publish(*key)
    return sha256_path(place.published(*PLANE))


def test_a_plane_goes_on_where_it_was_when_the_scheduler_went_away(tmp_path, wide):
    place = Place(tmp_path / "place", *WIDE)
    for key in (DATA, TRAIN):
        place.publish(*key)
    with Cluster(tmp_path) as cluster:
        words = ("stage", *PLANE, "executor=dask", f"executor.address={cluster.address}")
        process = place.start(*words, setup="import lossatlas.landscape.points as points; points.FLUSH_SECONDS = 0")
        try:
            until(lambda: lines(place) > 1, 180)
            cluster.scheduler.kill()
            code, out, err = ended(process)
        finally:
            end_session(process)
    assert (code, out) == (2, "")
    waited, last = f"waiting for the first worker of {cluster.address}", err.splitlines()[-1]
    assert last.startswith(f"lossatlas: the Dask scheduler {cluster.address} is gone; what was finished is kept")
    assert err.splitlines() in ([last], [waited, last])
    kept = lines(place)
    assert 1 < kept < 1 + 24 * 24
    with Cluster(tmp_path) as cluster:
        code, out, err = place.run("stage", *PLANE, "executor=dask", f"executor.address={cluster.address}")
    assert code == 0 and "computed" in out
    assert sha256_path(place.published(*PLANE)) == wide


def test_a_prefill_without_its_scheduler_tells_every_stage_that_was_under_way(tmp_path):
    place = Place(tmp_path / "place", *FEW, "sizes.epochs=2000")
    with Cluster(tmp_path) as cluster:
        process = place.start("prefill", "executor=dask", f"executor.address={cluster.address}", setup=COMPUTING)
        try:
            until(lambda: list((place.workspace.scratch / "stages" / "train").rglob("state.pt")), 180)
            cluster.scheduler.kill()
            code, out, err = ended(process)
        finally:
            end_session(process)
    assert code == 1 and "Traceback" not in err
    failed = [line for line in err.splitlines() if " failed: " in line]
    assert failed and all(line.endswith("is gone; run the same command again") for line in failed), err
    assert "not begun, for want of those:" in err


def test_a_stage_whose_client_was_killed_keeps_its_lock_and_another_waits(tmp_path):
    """The worker that computes the stage owns it; when that is killed too, the other goes on."""
    place = Place(tmp_path / "place", *FEW, "sizes.epochs=400")
    place.publish(*DATA)
    states = place.workspace.scratch / "stages" / "train"
    with Cluster(tmp_path) as cluster:
        client = place.start("prefill", "executor=dask", f"executor.address={cluster.address}", setup=COMPUTING)
        second = None
        try:
            until(lambda: list(states.glob("resnet20-*/work/state.pt")), 180)
            os.kill(client.pid, signal.SIGKILL)
            ended(client)
            second = place.start("stage", *TRAIN)
            line = second.stderr.readline()
            cluster.workers[0].kill()
            code, out, err = ended(second)
        finally:
            end_session(client)
            if second:
                end_session(second)
    assert line.startswith("waiting for another process that owns ") and ".lock" in line
    assert (code, err) == (0, "") and "computed" in out


def test_two_prefills_at_once_compute_every_stage_once(tmp_path):
    place = Place(tmp_path / "place", *FEW)
    both = [
        place.start("prefill", *words, setup=COMPUTING)
        for words in (["executor.workers=1"], ["executor=dask", "executor.workers=1"])
    ]
    try:
        told = [ended(process) for process in both]
    finally:
        for process in both:
            end_session(process)
    assert [code for code, _, _ in told] == [0, 0], told
    computed = sorted(line.split(": ")[0] for _, out, _ in told for line in out.splitlines() if "computed" in line)
    assert computed and computed == sorted(set(computed))
    code, out, err = place.run("prefill", "executor=inline", setup=COMPUTING)
    assert (code, err) == (0, "") and f"({len(computed)} before), 0 failed" in out


def test_stages_on_a_cluster_end_with_the_bytes_of_one_process(tmp_path):
    """A worker is killed while they run, and points go to workers that have nothing else to do."""
    spread, alone = (Place(tmp_path / name, *FEW, "sizes.epochs=60") for name in ("spread", "alone"))
    process = spread.start("prefill", "executor=dask", "executor.workers=2", setup=COMPUTING)
    other = alone.start("prefill", "executor=inline", setup=COMPUTING)
    try:
        until(lambda: list((spread.workspace.scratch / "stages" / "train").rglob("state.pt")), 180)
        worker = next(number for number, command in alive(process).items() if "spawn_main" in command)
        os.kill(worker, signal.SIGKILL)
        code, _, err = ended(process)
        assert (code, err) == (0, "")
        assert ended(other)[0] == 0
    finally:
        end_session(process)
        end_session(other)
    hashes = [
        {folder.parts[-3:-1]: sha256_path(folder) for folder in place.workspace.scratch.glob("stages/*/*/out")}
        for place in (spread, alone)
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 4


def test_a_prefill_on_a_cluster_is_stopped_with_one_line(tmp_path):
    place = Place(tmp_path / "place", *FEW, "sizes.epochs=2000")
    process = place.start("prefill", "executor=dask", "executor.workers=1", setup=COMPUTING)
    try:
        until(lambda: list((place.workspace.scratch / "stages" / "train").rglob("state.pt")), 180)
        os.killpg(process.pid, signal.SIGINT)
        code, _, err = ended(process)
        assert (code, err.count("\n")) == (130, 1), err
        assert not alive(process)
    finally:
        end_session(process)
