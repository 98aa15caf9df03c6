"""Executors from the command line."""

import pytest

from lossatlas.config import ConfigError, compose
from lossatlas.paths import Workspace
from lossatlas.stages.chosen_executor import with_executor
from lossatlas.stages.plan import make_task, stage_keys
from repository_copy import ROOT

WORKSPACE = Workspace(ROOT)
PARAMS, _ = compose(WORKSPACE.conf, ["preset=smoke"])


def chosen(*overrides):
    return with_executor(WORKSPACE, PARAMS, overrides).executor


def test_without_words_it_is_that_of_the_settings():
    assert with_executor(WORKSPACE, PARAMS, []) is PARAMS
    assert PARAMS.executor.kind == "processes"


def test_a_group_and_values():
    found = chosen("executor=dask", "executor.workers=3", "executor.resources={GPU: 1}")
    assert (found.kind, found.workers, found.resources) == ("dask", 3, {"GPU": 1})
    assert chosen("executor.workers=3").kind == "processes"
    nested = chosen("executor=slurm", "+executor.cluster.queue=gpu", "executor.cluster.memory='32GB'")
    assert nested.cluster["queue"] == "gpu" and nested.cluster["memory"] == "32GB"
    assert chosen("executor=slurm").cluster["memory"] == "16GB"


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "executor").glob("*.yaml")))
def test_every_group_is_one_for_compose_too(name):
    params, _ = compose(WORKSPACE.conf, ["preset=smoke", f"executor={name}"])
    assert params.executor == chosen(f"executor={name}")


def test_stages_do_not_depend_on_it():
    other = with_executor(WORKSPACE, PARAMS, ["executor=dask"])
    for key in stage_keys(PARAMS):
        assert make_task(WORKSPACE, other, key).settled() == make_task(WORKSPACE, PARAMS, key).settled()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["executor=dusk"], "executor=dusk is unknown; allowed: .*dask, inline, .*processes"),
        (["preset=paper"], "preset=paper: only the executor is chosen here.*lossatlas compose"),
        (["~executor"], "only the executor is chosen here"),
        (["executor.workers=1,2"], "only the executor is chosen here"),
        (["executor.workers=0"], "executor.workers: Input should be greater than or equal to 1"),
        (["executor=inline", "executor.workers=2"], "workers is no setting of kind 'inline' .* remove it"),
        (["executor=dask", "executor.address=here"], "executor.address: String should match pattern"),
        (["executor=dask", "executor.address=tcp://a:1", "executor.workers=2"], "cluster and workers must be null"),
        (["executor=dask", "executor.cluster={n: 1}"], "cluster._target_ must be the dotted name of a class"),
        (["executor=mpi", "executor.target=null"], "kind 'class' needs target"),
        (["executor.speed=3"], "executor.speed: unknown key"),
        (["executor.workers=[1"], "executor.workers=\\[1"),
    ],
)
def test_impossible_words_are_one_line(words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        chosen(*words)
    assert "\n" not in str(caught.value)
