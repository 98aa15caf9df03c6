"""The table of ensembles in the preset `paper`: its 54 cells compose, and each passes a dry run at full size."""

import itertools
import math
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from data.made import MadeCifar
from lossatlas.config import compose
from lossatlas.files import read_json
from lossatlas.report.targets import TARGETS_FILE
from lossatlas.results import History, Predictions
from lossatlas.settings import RunSettings
from lossatlas.settings.ensembles import EnsembleSettings, FgeSettings, check_ensemble
from lossatlas.stages import data, ensemble, fge, train
from lossatlas.stages.job import Job
from lossatlas.training import loop

CONF = Path(__file__).parents[2] / "conf"
TARGETS = yaml.safe_load(TARGETS_FILE.read_text())
PROTOCOL = TARGETS["garipov2018"]["protocol"]
NETWORKS, DATA, METHODS = ("vgg16", "preresnet164", "wrn28_10"), ("cifar10", "cifar100"), ("ind", "sse", "fge")
LARGE = ("vgg16", "wrn28_10")
CLASSES = {"cifar10": 10, "cifar100": 100}
CELLS = list(itertools.product(NETWORKS, DATA, METHODS))
# two images train in one step an epoch; a cycle of one step for each snapshot, and one triangle after the first epoch
TRAIN, TEST, IND_EPOCHS, SSE_EPOCHS, FGE_START, FGE_EPOCHS = 2, 1, 2, 5, 1, 2


@cache
def paper():
    return compose(CONF, ["preset=paper"])[0]


def cell(network, kind, method):
    return paper().ensembles[f"{network}-{kind}-{method}"]


def runs_of(settings):
    """The runs of an ensemble, budget by budget; those that cycles begin at."""
    cycles = settings.method == "fge"
    return [[paper().fges[name].run if cycles else name for name in budget] for budget in settings.budgets]


def test_the_published_table_has_54_cells_and_all_compose():
    published = {
        (network, kind, method, budgets)
        for kind, rows in TARGETS["garipov2018"]["table1_error"].items()
        if kind != "seed"
        for network, row in rows.items()
        for method, values in row.items()
        for budgets in range(1, len(values) + 1)
    }
    planned = {
        (network, kind, method, budgets)
        for network, kind, method in CELLS
        for budgets in range(1, len(cell(network, kind, method).budgets) + 1)
    }
    assert planned == published and len(planned) == 54


@pytest.mark.parametrize(("network", "kind", "method"), CELLS)
def test_cells_have_the_papers_protocol(network, kind, method):
    settings, params = cell(network, kind, method), paper()
    epochs, lr = PROTOCOL["budget_epochs"][network], PROTOCOL["lr"][network]
    assert (settings.network, settings.data, settings.method) == (network, kind, method)
    assert (settings.budget_epochs, len(settings.budgets)) == (epochs, 3)
    runs = [params.runs[name] for (name,) in runs_of(settings)]
    assert [run.seed for run in runs] == [0, 1, 2] and len({name for (name,) in settings.budgets}) == 3
    for run in runs:
        recipe = run.train
        assert (run.data, recipe.epochs, recipe.batch_size) == (kind, epochs, 128)
        assert (recipe.optimizer, recipe.lr, recipe.momentum) == ("sgd", lr, 0.9)
        assert recipe.weight_decay == PROTOCOL["weight_decay"][network]
        assert recipe.augment.model_dump() == {"padding": 4, "flip": True}
        assert recipe.normalization == ("imagenet" if network == "vgg16" else "cifar")
        # both data sets are whole
        assert (params.datasets[kind].kind, params.datasets[kind].train, params.datasets[kind].test) == (
            kind,
            None,
            None,
        )
        if method == "sse":
            assert (recipe.schedule, recipe.schedule_options.cycles) == ("cosine_cycles", 5)
            assert settings.snapshots == PROTOCOL["sse"]["cycles_per_budget"] == 5
            assert recipe.checkpoint_every * settings.snapshots == epochs
        else:
            options = recipe.schedule_options
            assert (recipe.schedule, options.flat, options.end, options.last) == ("piecewise_linear", 0.5, 0.9, 0.01)
    if method == "fge":
        for seed, (name,) in enumerate(settings.budgets):
            cycles = params.fges[name]
            assert cycles.start == 0.8 * epochs and cycles.start + cycles.epochs == epochs
            assert [cycles.high, cycles.low] == PROTOCOL["fge_lr"][network]
            assert cycles.cycle_epochs == PROTOCOL["cycle_epochs"][network]
            assert cycles.seed == params.runs[cycles.run].seed == seed
    assert settings.average_weights == (method == "fge")


@pytest.mark.parametrize("network", NETWORKS)
def test_trainings_differ_in_their_data_alone(network):
    """Which is why one may stand for the other below."""
    params = paper()
    for method in METHODS:
        both = [cell(network, kind, method) for kind in DATA]
        for names in zip(*(runs_of(settings) for settings in both), strict=True):
            one, other = (params.runs[name].model_dump(exclude={"data"}) for (name,) in names)
            assert one == other
        if method == "fge":
            for names in zip(*(settings.budgets for settings in both), strict=True):
                one, other = (params.fges[name].model_dump(exclude={"run"}) for (name,) in names)
                assert one == other


class Place:
    """One network on one data set: the paper's settings but for lengths, on a few random images in CIFAR's own format.

    The three budgets of a cell share the folder of one training: they differ in the seed alone. So may the data sets of
    a network whose training takes long: `trained` is the place with its trainings, another one's or this one.
    """

    def __init__(self, root, network, kind, *, trained=None):
        self.root, self.network, self.kind, self.trained = root, network, kind, trained or self
        self.source = {**paper().datasets[kind].model_dump(), "root": str(root / "cifar")}
        self.source |= {"train": TRAIN, "test": TEST}
        with pytest.MonkeyPatch.context() as patch:
            MadeCifar(kind, root / "cifar", patch)
            self.data = self.computed(data, kind, {"data": self.source}, {})

    def computed(self, stage, name, settings, inputs):
        """Compute a stage as the runner does, and return its output folder."""
        place = self.root / stage.__name__.rpartition(".")[2] / name
        places = {"repository": str(self.root), "cache": str(self.root / "cache"), "data": self.source}
        for folder in ("out", "work"):
            (place / folder).mkdir(parents=True)
        made = Job(name, {**settings, "device": "cpu"}, inputs, places, place / "out", place / "work")
        with pytest.MonkeyPatch.context() as patch:
            # gigabytes for the widest network, of which nothing is wanted here
            patch.setattr(loop, "save_state", lambda *state: None)
            stage.compute(made)
        shutil.rmtree(made.work)
        return made.out

    def run(self, name, **lengths):
        settings = paper().runs[name]
        recipe = {**settings.train.model_dump(), **lengths}
        run = RunSettings.model_validate({**settings.model_dump(), "train": recipe})
        return run, self.computed(train, name, {"run": run.model_dump()}, {"data": self.data})

    @cache  # noqa: B019 one place lives as long as its tests
    def independent(self):
        (name,) = runs_of(cell(self.network, self.kind, "ind"))[0]
        return self.run(name, epochs=IND_EPOCHS, checkpoints=[FGE_START])

    @cache  # noqa: B019
    def snapshots(self):
        (name,) = runs_of(cell(self.network, self.kind, "sse"))[0]
        return self.run(name, epochs=SSE_EPOCHS, checkpoint_every=1)

    @cache  # noqa: B019
    def cycles(self):
        (name,) = cell(self.network, self.kind, "fge").budgets[0]
        lengths = {"start": FGE_START, "epochs": FGE_EPOCHS, "cycle_epochs": 2}
        settings = FgeSettings.model_validate({**paper().fges[name].model_dump(), **lengths})
        inputs = {"data": self.data, "run": self.independent()[1]}
        return settings, self.computed(fge, name, settings.model_dump(), inputs)

    def ensemble(self, method):
        settings = cell(self.network, self.kind, method)
        epochs = {"ind": IND_EPOCHS, "sse": SSE_EPOCHS, "fge": FGE_START + FGE_EPOCHS}[method]
        short = EnsembleSettings.model_validate({**settings.model_dump(), "budget_epochs": epochs})
        run, folder = self.trained.snapshots() if method == "sse" else self.trained.independent()
        cycles, members = self.trained.cycles() if method == "fge" else (None, folder)
        run = run.model_copy(update={"data": self.kind})
        names = [name for (name,) in settings.budgets]
        begun = [cycles.run] if cycles else []
        runs = dict.fromkeys([*names, *begun], run)
        check_ensemble("short", short, dict.fromkeys(names, cycles), runs)
        inputs = {f"budget{i}.0": members for i in range(3)}
        return self.computed(ensemble, method, short.model_dump(), {"data": self.data, "run": folder, **inputs})


@pytest.fixture(scope="module", params=NETWORKS)
def places(request, tmp_path_factory):
    """A network's places by data set; those with many weights are trained on one of them only."""
    root = tmp_path_factory.mktemp("dry")
    last = Place(root / "cifar100", request.param, "cifar100")
    first = Place(root / "cifar10", request.param, "cifar10", trained=last if request.param in LARGE else None)
    yield {"cifar10": first, "cifar100": last}
    # gigabytes of weights
    shutil.rmtree(root)


def check_members(method, about, predictions):
    """The members that each of the three budgets has."""
    taken = {"ind": [IND_EPOCHS], "sse": [1, 2, 3, 4, 5], "fge": [FGE_START + 1]}[method]
    assert predictions.epoch.tolist() == 3 * taken
    assert predictions.budget.tolist() == [budget for budget in range(3) for _ in taken]
    assert [budget["members"] for budget in about["budgets"]] == [len(taken)] * 3
    assert [budget["shared_epochs"] for budget in about["budgets"]] == [FGE_START if method == "fge" else 0] * 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", DATA)
def test_a_dry_run_of_each_cell_passes(places, kind, method):
    out = places[kind].ensemble(method)
    about, predictions = read_json(out / "ensemble.json"), Predictions.load(out / "predictions.h5")
    assert (about["status"], about["reason"], about["test_examples"]) == ("finished", "", TEST)
    check_members(method, about, predictions)
    assert predictions.probability.shape[1:] == (TEST, CLASSES[places[kind].trained.kind])
    assert np.isfinite(predictions.probability).all()
    # the columns of the table: one, two and three budgets
    assert [row["budgets"] for row in about["pooled"]] == [1, 2, 3]
    for row in about["pooled"]:
        assert 0 <= row["error"] <= 1 and math.isfinite(row["loss"])
    assert (about["averaged"] is not None) == (method == "fge")


def rates(folder):
    history = History.load(folder / "history.h5")
    assert history.status == "finished"
    return history.step_learning_rate.tolist()


@pytest.mark.parametrize("kind", DATA)
def test_the_networks_are_the_papers_own_and_follow_their_schedules(places, kind):
    trained = places[kind].trained
    counts = TARGETS["parameter_counts"]["garipov2018" + ("_100_classes" if trained.kind == "cifar100" else "")]
    (_, independent), (_, snapshots), (_, cycles) = trained.independent(), trained.snapshots(), trained.cycles()
    for folder in (independent, snapshots):
        assert read_json(folder / "run.json")["parameters"] == counts[trained.network]
    lr, (high, low) = PROTOCOL["lr"][trained.network], PROTOCOL["fge_lr"][trained.network]
    # the rate is constant in the first half of a budget
    assert rates(independent) == [lr, lr]
    # a cycle of one step is its first
    assert rates(snapshots) == [lr] * SSE_EPOCHS
    assert rates(cycles) == pytest.approx([low, high])
    assert read_json(cycles / "fge.json")["members"] == [1]
