"""Tiny trainings that keep weights on the way, and jobs about their cycles and ensembles."""

from stage_cases import TRAIN, job

from lossatlas.settings import RunSettings
from lossatlas.settings.ensembles import EnsembleSettings, FgeSettings
from lossatlas.stages import ensemble, fge, train

FGE = {"run": "a", "start": 2, "epochs": 3, "high": 0.02, "low": 0.001, "cycle_epochs": 2, "seed": 5}
ENSEMBLE = {
    "network": "small",
    "data": "digits",
    "method": "ind",
    "budgets": [["a"]],
    "budget_epochs": 4,
    "snapshots": 2,
    "calibration_bins": 5,
    "average_weights": False,
    "refresh_batch_size": 16,
    "batch_size": 8,
}
EPOCHS = 4
STEPS = 4  # per epoch: 64 examples in batches of 16


def trained(root, digits, name, *, seed=0, family="resnet", options=None, **settings):
    """The output folder of a stage `train` of four epochs that keeps the weights of each."""
    model = {"title": "Small", "family": family, "options": options or {"depth": 8, "base_width": 2}}
    settings = {**TRAIN, "epochs": EPOCHS, "checkpoint_every": 1, **settings}
    run = RunSettings.model_validate({"data": "digits", "seed": seed, "model": model, "train": settings})
    made = job(root, name, {"run": run.model_dump()}, {"data": digits})
    train.compute(made)
    return made.out


def cycles_job(root, name, digits, folder, **settings):
    """A job about cycles from a checkpoint in the folder of a run."""
    settings = FgeSettings.model_validate({**FGE, **settings}).model_dump()
    return job(root, name, settings, {"data": digits, "run": folder})


def cycled(root, name, digits, folder, **settings):
    """The output folder of a stage `fge`."""
    made = cycles_job(root, name, digits, folder, **settings)
    fge.compute(made)
    return made.out


def ensemble_job(root, name, digits, run, budgets, **settings):
    """`budgets` are lists of pairs: a member's name and its folder."""
    names = [[member for member, _ in budget] for budget in budgets]
    settings = EnsembleSettings.model_validate({**ENSEMBLE, "budgets": names, **settings}).model_dump()
    inputs = {f"budget{i}.{j}": found for i, budget in enumerate(budgets) for j, (_, found) in enumerate(budget)}
    return job(root, name, settings, {"data": digits, "run": run, **inputs})


def ensembled(root, name, digits, run, budgets, **settings):
    """The output folder of a stage `ensemble`."""
    made = ensemble_job(root, name, digits, run, budgets, **settings)
    ensemble.compute(made)
    return made.out


def files(folder):
    """What a stage wrote; a file that a kill left unfinished has a name of its own."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.endswith(".part")}
