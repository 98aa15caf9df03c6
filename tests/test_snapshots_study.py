"""The optional study of Table 1 of Huang et al. 2017."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.report.catalogue import HUANG
from lossatlas.report.ensembles import SNAPSHOTS, ensemble_name, split_ensemble
from lossatlas.settings import Params

CONF = Path(__file__).parents[1] / "conf"
CYCLES = {"resnet110": (200, 5), "wrn32": (200, 5), "densenet40": (300, 6), "densenet100": (300, 6)}


@pytest.fixture(scope="module")
def params() -> Params:
    return compose(CONF, ["preset=paper", "+study=snapshots"])[0]


def test_every_cell_of_the_table_is_an_ensemble(params: Params) -> None:
    wanted = {
        ensemble_name(network, data, method)
        for network in HUANG
        for data in ("cifar10", "cifar100")
        for method in SNAPSHOTS
    }
    found = {name for name in params.ensembles if split_ensemble(name)[2] in SNAPSHOTS}
    assert found == wanted
    assert len(found) == 40
    # beside the 18 of Garipov et al., whose runs and those of Li et al. stay as they are
    assert len(params.ensembles) == 40 + 18
    assert {name.startswith("huang_") for each in found for name in params.ensembles[each].budgets[0]} == {True}
    assert params.runs["resnet110"].train.epochs == 300


def test_epochs_cycles_batches_and_decay_are_the_papers(params: Params) -> None:
    for network, (epochs, cycles) in CYCLES.items():
        for data in ("cifar10", "cifar100"):
            for method in SNAPSHOTS:
                ensemble = params.ensembles[ensemble_name(network, data, method)]
                assert (ensemble.budget_epochs, ensemble.snapshots, len(ensemble.budgets)) == (epochs, cycles, 1)
                runs = [params.runs[name] for name in ensemble.budgets[0]]
                assert len(runs) == (cycles if method == "single_cycle" else 1)
                assert {run.data for run in runs} == {data}
                trains = [run.train for run in runs]
                assert {(t.batch_size, t.weight_decay, t.momentum, t.nesterov) for t in trains} == {
                    (64, 1e-4, 0.9, True)
                }
                assert len({run.seed for run in runs}) == len(runs)


def test_schedules_are_the_methods(params: Params) -> None:
    for network, (epochs, cycles) in CYCLES.items():
        runs = {
            method: params.runs[params.ensembles[ensemble_name(network, "cifar100", method)].budgets[0][0]]
            for method in SNAPSHOTS
        }
        assert runs["single"] == runs["nocycle"]
        standard = runs["single"].train
        assert (standard.schedule, standard.lr, standard.schedule_options.fractions) == ("step_drops", 0.1, [0.5, 0.75])
        assert standard.schedule_options.factor == 0.1
        for method, rate in (("snapshot01", 0.1), ("snapshot02", 0.2)):
            train = runs[method].train
            assert (train.schedule, train.schedule_options.cycles, train.lr) == ("cosine_cycles", cycles, rate)
            assert (train.epochs, train.checkpoint_every) == (epochs, epochs // cycles)
        again = runs["single_cycle"].train
        assert (again.schedule, again.schedule_options.cycles, again.epochs) == ("cosine_cycles", 1, epochs // cycles)


def test_networks_are_the_papers(params: Params) -> None:
    options = {name: params.runs[f"huang_{name}"].model.options for name in CYCLES}
    assert (options["wrn32"]["depth"], options["wrn32"]["width"]) == (32, 4)
    growth = {name: (options[name]["depth"], options[name]["growth"]) for name in ("densenet40", "densenet100")}
    assert growth == {"densenet40": (40, 12), "densenet100": (100, 24)}
    assert not options["densenet100"]["bottleneck"]
    for name, title in HUANG.items():
        assert params.runs[f"huang_{name}"].model.title == title
