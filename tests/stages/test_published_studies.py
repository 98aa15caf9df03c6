"""All studies of a kind at once: only what is not there already is computed; what is no longer planned goes."""

import shutil
from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.paths import Workspace
from lossatlas.stages.plan import UnknownStageError
from lossatlas.stages.runner import Runner
from lossatlas.stages.times import times_table

CONF = Path(__file__).parents[2] / "conf"
SMALL = ["preset=smoke", "slices.small.hidden=2", "slices.small.directions=20", "slices.small.steps=3"]
TWO = [*SMALL, "+landscape@slices.other=slices", "slices.other.hidden=3", "slices.other.directions=10"]


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path)
    runner(made, TWO).publish(("data", "digits"))
    return made


def runner(workspace, overrides):
    return Runner(workspace, compose(CONF, overrides)[0])


def computed(outcomes):
    return {outcome.key[1] for outcome in outcomes if outcome.computed}


def test_what_is_published_is_not_computed_again_even_without_scratch(workspace):
    assert computed(runner(workspace, TWO).publish_all("slices")) == {"small", "other"}
    shutil.rmtree(workspace.scratch / "stages")
    assert computed(runner(workspace, TWO).publish_all("slices")) == set()
    changed = [*TWO, "slices.other.seed=5"]
    assert computed(runner(workspace, changed).publish_all("slices")) == {"other"}


@pytest.mark.parametrize("damage", ["slices.h5", "stage.json"])
def test_damaged_results_are_computed_again(workspace, damage):
    runner(workspace, TWO).publish_all("slices")
    shutil.rmtree(workspace.scratch / "stages")
    file = workspace.artifacts("smoke", "slices", "small") / damage
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert computed(runner(workspace, TWO).publish_all("slices")) == {"small"}
    assert file.read_bytes() == whole


def test_studies_that_are_no_longer_planned_go(workspace):
    runner(workspace, TWO).publish_all("slices")
    folder = workspace.artifacts("smoke", "slices", "small").parent
    assert {path.name for path in folder.iterdir()} == {"small", "other", "names.json"}
    runner(workspace, SMALL).publish_all("slices")
    assert {path.name for path in folder.iterdir()} == {"small", "names.json"}
    # a kind without studies has an output too, for DVC
    runner(workspace, [*SMALL, "~lines.vgg9_interpolation"]).publish_all("line")
    assert (workspace.artifacts("smoke", "line", "names.json")).read_text().strip() == "[]"


def test_only_studies_go_without_a_name(workspace):
    with pytest.raises(UnknownStageError, match="stage train needs a name"):
        runner(workspace, SMALL).publish_all("train")


def test_times_are_those_of_the_published_stages(workspace):
    made = runner(workspace, TWO)
    made.publish_all("slices")
    table = times_table(workspace, made.params)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    stages = {row[0].strip("| "): float(row[1].strip("| ")) for row in rows if len(row) == 2 and row[0] != "| stage"}
    assert set(stages) == {"data digits", "slices small", "slices other"}
    total = next(row for row in rows if row[0] == "| slices")
    assert int(total[1]) == 2
    assert float(total[2]) == pytest.approx(stages["slices small"] + stages["slices other"], abs=0.2)


def test_times_of_nothing_name_the_remedy(tmp_path):
    params, _ = compose(CONF, SMALL)
    with pytest.raises(FileNotFoundError, match="no stage of preset smoke is published; run `make reproduce` first"):
        times_table(Workspace(tmp_path), params)
