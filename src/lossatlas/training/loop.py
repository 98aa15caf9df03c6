"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.data import NORMALIZATIONS, Moves, draw_moves, moved, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.foreach import foreach
from lossatlas.files import canonical_json
from lossatlas.progress import progress as progress_bar
from lossatlas.randomness import derived_seed, generator
from lossatlas.results import History
from lossatlas.training.batches import epoch_batches, micro_batches, steps_per_epoch
from lossatlas.training.dropout import seeded
from lossatlas.training.learner import Learner, NetworkLearner
from lossatlas.training.precision import forward_precision, tensor_cores
from lossatlas.training.recipe import Recipe
from lossatlas.training.schedules import Schedule, make_schedule
from lossatlas.training.state import ROWS, Progress, load_state, save_state

KeepWeights = Callable[[int, nn.Module], None]


class Splits(Protocol):
    """Examples to train and to test on: a `DataSet` of uint8 images, or inputs that are normalized already."""

    @property
    def train_images(self) -> Tensor:
        """Training inputs, (n, ...)."""

    @property
    def train_labels(self) -> Tensor:
        """Their labels, (n,) int64."""

    @property
    def test_images(self) -> Tensor:
        """Test inputs, (m, ...)."""

    @property
    def test_labels(self) -> Tensor:
        """Their labels, (m,) int64."""


class _Run:
    """One training in progress: what learns, its optimizer and the data on the device."""

    def __init__(self, learner: Learner, data: Splits, recipe: Recipe, *, seed: int, device: torch.device) -> None:
        self.learner, self.recipe, self.seed, self.device = learner, recipe, seed, device
        self.images, self.labels = data.train_images.to(device), data.train_labels.to(device)
        self.optimizer = recipe.make_optimizer(learner.learned)
        self.weights = [p for p in learner.learned.parameters() if p.dim() > 1]
        self.constants = NORMALIZATIONS[recipe.normalization]
        clean = {
            "train": (self._normalized(data.train_images), data.train_labels),
            "test": (self._normalized(data.test_images), data.test_labels),
        }
        self.clean = clean["train"][0]
        self.evaluator = Evaluator(learner.network, clean, device=device)

    def _normalized(self, images: Tensor) -> Tensor:
        return images if images.is_floating_point() else normalize(images, self.constants)

    def _batches(self, number: int) -> list[tuple[Tensor, Moves | None]]:
        """Return what an epoch takes in each batch and how it is moved, on the device.

        All is brought there at once: a GPU that has to be waited for at each batch stands still meanwhile.
        """
        order = epoch_batches(len(self.labels), self.recipe.batch_size, generator(self.seed, "order", number))
        sizes = [len(batch) for batch in order]
        moves: list[Moves | None] = [None] * len(order)
        if self.recipe.augment is not None:
            draws = draw_moves(sizes, generator(self.seed, "augment", number), **self.recipe.augment)
            moves = [*draws.to(self.device).split(sizes)]
        batches = torch.split(torch.cat(order).to(self.device), sizes)
        return list(zip(batches, moves, strict=True))

    def _step(self, batch: Tensor, moves: Moves | None) -> None:
        """Take one optimizer step on the mean loss of a batch."""
        # moved as a whole, so that augmentation does not depend on the micro-batches
        images = self.images[batch] if moves is None else moved(self.images[batch], moves)
        parts = [micro_batches(x, self.recipe.micro_batch) for x in (images, self.labels[batch])]
        self.optimizer.zero_grad(set_to_none=True)
        self.learner.begin_batch()
        for images, labels in zip(*parts, strict=True):
            inputs = self._normalized(images)
            if inputs.dim() == 4:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            with forward_precision(self.recipe.precision, self.device):
                logits = self.learner.logits(inputs)
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum") / len(batch)
            loss.backward()  # type: ignore[no-untyped-call]
        self.learner.end_batch()
        self.optimizer.step()

    def norm(self) -> Tensor:
        """Return the L2 norm of all weights with more than one dimension, float64."""
        norms = foreach("norm")([weight.detach() for weight in self.weights])
        return torch.stack(norms).double().square().sum().sqrt()

    def epoch(self, number: int, schedule: Schedule, done: Progress, advance: Callable[[int], None]) -> None:
        """Train for one epoch, adding the learning rate and weight norm of each step to `done`."""
        norms = []
        self.learner.begin_epoch(self.seed, number)
        with seeded(self.device, derived_seed(self.seed, "dropout", number)):
            for batch, moves in self._batches(number):
                rate = schedule(len(done.rates) + 1)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self._step(batch, moves)
                done.rates.append(rate)
                norms.append(self.norm())
                advance(1)
        done.norms.extend(torch.stack(norms).tolist())

    def measure(self, done: Progress) -> None:
        """Add the row of the epoch that ended to `done` and see whether the run diverged."""
        state = self.learner.point(self.clean)
        found = self.evaluator(state)
        rate = done.rates[-1] if done.rates else math.nan
        errors = {name: 1 - measured.accuracy for name, measured in found.items()}
        row = [found["train"].loss, errors["train"], found["test"].loss, errors["test"], rate, float(self.norm())]
        done.rows.append(row)
        finite = [t.isfinite().all() for t in state.values() if t.is_floating_point()]
        weights_finite = bool(torch.stack(finite).all())
        if not (weights_finite and math.isfinite(found["train"].loss)):
            done.status = "diverged"
            what = "training loss" if weights_finite else "weights"
            done.note = f"epoch {len(done.rows) - 1}: {what} not finite"


def train(
    model: nn.Module | Learner,
    data: Splits,
    recipe: Recipe,
    *,
    seed: int,
    keep: KeepWeights,
    state: Path | None = None,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[Mapping[str, float]], None] | None = None,
    label: str = "train",
    provenance: Mapping[str, Any] | None = None,
) -> tuple[History, list[float]]:
    """Train in place; on a CPU the same seed gives the same bytes, killed and resumed or not.

    Args:
        model: an initialized network that returns logits, or something else that learns.
        data: uint8 images, which the recipe's normalization turns into inputs, or floating-point inputs; and labels.
        recipe: how to train.
        seed: of the order, the augmentation and dropout, by epoch.
        keep: called with the epoch and what holds the weights whenever `recipe` keeps them; idempotent.
        state: file for the state after each epoch; a run goes on from it if it exists.
        device: where to train.
        on_epoch: called with each finished epoch's values.
        label: of the progress bar.
        provenance: stored with the history.

    Returns:
        The history (losses of the clean training and test set in eval mode) and the wall seconds of each epoch.

    Raises:
        ValueError: an impossible schedule, or a state file that is damaged or of another network, seed or recipe.
    """
    place = torch.device(device)
    learner = NetworkLearner(model, compile=recipe.compile) if isinstance(model, nn.Module) else model
    learner.to(place)
    steps = steps_per_epoch(len(data.train_labels), recipe.batch_size)
    schedule = make_schedule(
        recipe.schedule,
        lr=recipe.lr,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        options=recipe.schedule_options,
    )
    with tensor_cores(place, tf32=recipe.precision == "tf32"):
        run = _Run(learner, data, recipe, seed=seed, device=place)
        done = _begun(state, run, canonical_json({"seed": seed, **recipe.settings(), **learner.settings()}))
        for epoch in range(done.epoch + 1):
            _announce(on_epoch, done, epoch)
        with progress_bar(label, recipe.epochs * steps, done=len(done.rates), unit="steps") as advance:
            while done.epoch < recipe.epochs and not done.diverged:
                begin = time.perf_counter()
                if done.epoch >= 0:
                    run.epoch(done.epoch + 1, schedule, done, advance)
                run.measure(done)
                done.epoch += 1
                done.seconds.append(time.perf_counter() - begin)
                if recipe.keeps(done.epoch) or done.diverged:
                    keep(done.epoch, learner.learned)
                if state:
                    save_state(state, learner.learned, run.optimizer, done)
                _announce(on_epoch, done, done.epoch)
    return done.history(dict(provenance or {})), done.seconds


def _begun(state: Path | None, run: _Run, settings: str) -> Progress:
    """Return what the state file says was done, or that nothing was."""
    if state is None or not state.exists():
        return Progress(settings=settings)
    return load_state(state, run.learner.learned, run.optimizer, settings=settings)


def _announce(on_epoch: Callable[[Mapping[str, float]], None] | None, done: Progress, epoch: int) -> None:
    if on_epoch:
        row = dict(zip(ROWS, done.rows[epoch], strict=True))
        on_epoch({"epoch": epoch, **row, "seconds": done.seconds[epoch]})
