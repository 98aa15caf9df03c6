"""The table of ensembles in the preset `paper`: its 54 cells compose, and each passes a dry run at full size."""

import itertools
import math
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from data.made import MadeCifar
from lossatlas.config import compose
from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.files import read_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.report.targets import TARGETS_FILE
from lossatlas.results import History, Predictions
from lossatlas.settings import RunSettings
from lossatlas.settings.ensembles import EnsembleSettings, FgeSettings
from lossatlas.settings.members import check_ensemble
from lossatlas.stages import data, ensemble, fge, train
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.training import loop

CONF = Path(__file__).parents[2] / "conf"
TARGETS = yaml.safe_load(TARGETS_FILE.read_text())
PROTOCOL = TARGETS["garipov2018"]["protocol"]
NETWORKS, DATA, METHODS = ("vgg16", "preresnet164", "wrn28_10"), ("cifar10", "cifar100"), ("ind", "sse", "fge")
CLASSES = {"cifar10": 10, "cifar100": 100}
CELLS = list(itertools.product(NETWORKS, DATA, METHODS))
# two images train in one step an epoch; a cycle of two steps for each snapshot (its first alone would not tell a cycle
# from a constant rate), and one triangle after the first epoch
TRAIN, TEST, IND_EPOCHS, SNAPSHOTS, CYCLE, FGE_START, FGE_EPOCHS = 2, 1, 2, 5, 2, 1, 2
# of the papers' rates, which two images do not survive: a network would be certain of its answer, as any other is
SCALE = 1e-4
# the widest network takes half a minute for what the others do in seconds: one training with cycles of one step stands
# for all of its budgets, methods and data sets
WIDEST = "wrn28_10"
# where all three budgets are trainings of their own; elsewhere one stands for the other two
INDEPENDENT = ("preresnet164", "cifar10")


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
            assert epochs // settings.snapshots % recipe.checkpoint_every == 0
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
    """One network on one data set, on a few random images in CIFAR's own format.

    Settings are the paper's but for lengths and the scale of the rates. Trainings of budgets differ in the seed alone,
    those of data sets in the data alone: `trained` is the place with the trainings and the ensembles of them, another
    one or this one. Where it is another one, only the settings of an ensemble are looked at here.
    """

    def __init__(self, root, network, kind, *, trained=None):
        self.root, self.network, self.kind, self.trained = root, network, kind, trained or self
        self.budgets = 3 if (network, kind) == INDEPENDENT else 1
        self.cycle = 1 if network == WIDEST else CYCLE
        self.source = {**paper().datasets[kind].model_dump(), "root": str(root / "cifar")}
        self.source |= {"train": TRAIN, "test": TEST}
        with pytest.MonkeyPatch.context() as patch:
            MadeCifar(kind, root / "cifar", patch)
            self.data = self.computed(data, kind, {"data": self.source}, {})

    def job(self, folder, name, settings, inputs):
        places = {"repository": str(self.root), "cache": str(self.root / "cache"), "data": self.source}
        return Job(name, {**settings, "device": "cpu"}, inputs, places, folder / "out", folder / "work")

    def computed(self, stage, name, settings, inputs):
        """Compute a stage as the runner does, and return its output folder."""
        made = self.job(self.root / stage.__name__.rpartition(".")[2] / name, name, settings, inputs)
        for folder in (made.out, made.work):
            folder.mkdir(parents=True)
        with pytest.MonkeyPatch.context() as patch:
            # gigabytes for the widest network, of which nothing is wanted here
            patch.setattr(loop, "save_state", lambda *state: None)
            stage.compute(made)
        shutil.rmtree(made.work)
        return made.out

    def run(self, name, **lengths):
        settings = paper().runs[name]
        recipe = {**settings.train.model_dump(), "lr": SCALE * settings.train.lr, **lengths}
        run = RunSettings.model_validate({**settings.model_dump(), "train": recipe})
        return run, self.computed(train, name, {"run": run.model_dump()}, {"data": self.data})

    @cache  # noqa: B019 one place lives as long as its tests
    def independent(self, budget):
        if self.network == WIDEST:
            return self.snapshots(budget)
        (name,) = runs_of(cell(self.network, self.kind, "ind"))[budget]
        return self.run(name, epochs=IND_EPOCHS, checkpoints=[FGE_START])

    @cache  # noqa: B019
    def snapshots(self, budget):
        (name,) = runs_of(cell(self.network, self.kind, "sse"))[budget]
        return self.run(name, epochs=SNAPSHOTS * self.cycle, checkpoint_every=self.cycle)

    @cache  # noqa: B019
    def cycles(self, budget):
        (name,) = cell(self.network, self.kind, "fge").budgets[budget]
        lengths = {"start": FGE_START, "epochs": FGE_EPOCHS, "cycle_epochs": 2}
        planned = paper().fges[name]
        lengths |= {"high": SCALE * planned.high, "low": SCALE * planned.low}
        settings = FgeSettings.model_validate({**planned.model_dump(), **lengths})
        inputs = {"data": self.data, "run": self.independent(budget)[1]}
        return settings, self.computed(fge, name, settings.model_dump(), inputs)

    def members(self, method, budget):
        """The settings and the folder of what a budget trains."""
        made = {"ind": self.independent, "sse": self.snapshots, "fge": self.cycles}[method]
        return made(min(budget, self.budgets - 1))

    def epochs(self, method):
        """The epochs behind a budget's members."""
        if method == "fge":
            return [FGE_START + 1]
        last = SNAPSHOTS * self.cycle
        if method == "sse":
            return list(range(self.cycle, last + 1, self.cycle))
        return [last if self.network == WIDEST else IND_EPOCHS]

    @cache  # noqa: B019
    def ensemble(self, method):
        settings, trained = cell(self.network, self.kind, method), self.trained
        epochs = FGE_START + FGE_EPOCHS if method == "fge" else trained.epochs(method)[-1]
        short = EnsembleSettings.model_validate({**settings.model_dump(), "budget_epochs": epochs})
        names = [name for (name,) in settings.budgets]
        begun = [name for (name,) in runs_of(settings)]
        run, folder = trained.snapshots(0) if method == "sse" else trained.independent(0)
        # where one training stands for another, its settings do with the seed and the data of that one
        runs = {name: run.model_copy(update={"data": self.kind, "seed": i}) for i, name in enumerate(begun)}
        members = [trained.members(method, i) for i in range(3)]
        fges = {}
        if method == "fge":
            both = zip(names, begun, members, strict=True)
            fges = {name: cycles.model_copy(update={"run": begin}) for name, begin, (cycles, _) in both}
        check_ensemble(f"{self.network}-{self.kind}-{method}", short, fges, runs)
        if trained is not self:
            return trained.ensemble(method)
        inputs = {f"budget{i}.0": made for i, (_, made) in enumerate(members)}
        return self.computed(ensemble, method, short.model_dump(), {"data": self.data, "run": folder, **inputs})


@pytest.fixture(scope="module", params=NETWORKS)
def places(request, tmp_path_factory):
    """A network's places by data set; the widest one is trained on one of them only."""
    root = tmp_path_factory.mktemp("dry")
    last = Place(root / "cifar100", request.param, "cifar100")
    first = Place(root / "cifar10", request.param, "cifar10", trained=last if request.param == WIDEST else None)
    yield {"cifar10": first, "cifar100": last}
    # gigabytes of weights
    shutil.rmtree(root)


def check_members(place, method, about, predictions):
    """The members that each of the three budgets has."""
    taken = place.trained.epochs(method)
    assert predictions.epoch.tolist() == 3 * taken
    assert predictions.budget.tolist() == [budget for budget in range(3) for _ in taken]
    assert [budget["members"] for budget in about["budgets"]] == [len(taken)] * 3
    assert [budget["shared_epochs"] for budget in about["budgets"]] == [FGE_START if method == "fge" else 0] * 3
    own = place.trained.budgets == 3
    assert [budget["seed"] for budget in about["budgets"]] == ([0, 1, 2] if own else [0, 0, 0])
    # trainings of their own predict something of their own
    found = [predictions.probability[predictions.budget == budget] for budget in range(3)]
    assert len({probability.tobytes() for probability in found}) == (3 if own else 1)
    # two early snapshots may be certain of one class
    assert len({probability.tobytes() for probability in found[0]}) >= len(taken) - 1


def file_of(folder, method, epoch):
    """Where the weights of a member lie."""
    kept = {"fge": "member_0001", "sse": f"epoch_{epoch:04d}"}.get(method, "final")
    file = folder / f"{kept}.safetensors"
    return file if file.exists() else folder / "final.safetensors"


def check_weights(place, method, predictions):
    """Each member predicts what the weights of its epoch, in the folder of its budget's training, do."""
    looked = place.job(place.data, "looked at", {"data": place.source}, {"data": place.data})
    constants = NORMALIZATIONS[place.trained.independent(0)[0].train.normalization]
    images = normalize(load_checked(looked).test_images, constants)
    members = zip(predictions.budget.tolist(), predictions.epoch.tolist(), predictions.probability, strict=True)
    for budget, epoch, found in members:
        _, folder = place.trained.members(method, budget)
        with torch.inference_mode():
            expected = load_checkpoint(file_of(folder, method, epoch)).build()(images).softmax(1).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", DATA)
def test_a_dry_run_of_each_cell_passes(places, kind, method):
    out = places[kind].ensemble(method)
    about, predictions = read_json(out / "ensemble.json"), Predictions.load(out / "predictions.h5")
    assert (about["status"], about["reason"], about["test_examples"]) == ("finished", "", TEST)
    check_members(places[kind], method, about, predictions)
    if (places[kind].network, kind) == INDEPENDENT:
        check_weights(places[kind], method, predictions)
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
    lr, high, low = (SCALE * rate for rate in (PROTOCOL["lr"][trained.network], *PROTOCOL["fge_lr"][trained.network]))
    for budget in range(trained.budgets):
        independent, snapshots, cycles = (trained.members(method, budget)[1] for method in METHODS)
        for folder in (independent, snapshots):
            assert read_json(folder / "run.json")["parameters"] == counts[trained.network]
        # a cosine begins at the whole rate, half of which is left in the middle of a cycle
        assert rates(snapshots) == pytest.approx([lr, lr / 2][: trained.cycle] * SNAPSHOTS)
        if trained.network != WIDEST:
            # the rate is constant in the first half of a budget
            assert rates(independent) == [lr, lr]
        assert rates(cycles) == pytest.approx([low, high])
        assert read_json(cycles / "fge.json")["members"] == [1]
