"""Curves between two minimizers of a network of one's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Data
from lossatlas.engine.inputs import network_examples
from lossatlas.landscape.curve_learner import CurveLearner, training_problem
from lossatlas.landscape.curves import Curve, CurveKind, parameters_of
from lossatlas.landscape.states import require_state
from lossatlas.training.loop import train as train_loop
from lossatlas.training.recipe import Recipe


@dataclass(frozen=True)
class _Examples:
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def _at(model: nn.Module, state: Mapping[str, Tensor], *, called: str) -> nn.Module:
    """Return a copy of the network at a state, which must be one of it."""
    require_state(model, state, called=called)
    moved = copy.deepcopy(model)
    moved.load_state_dict(dict(state))
    return moved


def connect(
    model: nn.Module,
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    train: Data,
    *,
    kind: CurveKind = "bezier",
    bends: int = 1,
    epochs: int = 50,
    batch_size: int = 128,
    lr: float = 0.015,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    seed: int = 0,
    free_ends: bool = False,
    refresh_batch_size: int = 128,
    device: torch.device | str = "cpu",
    state: Path | str | None = None,
    label: str = "curve",
) -> Curve:
    """Train a curve of low loss between two minimizers (Garipov et al. 2018, section 3).

    The learning rate stays for half of the epochs, then falls linearly to a hundredth at nine tenths of them, as in the
    paper's trainings; there is no augmentation. `curve_losses` evaluates the result.

    Args:
        model: a classifier that returns logits; it is left untouched.
        start: state dictionary of the first minimizer.
        end: of the second, of the same network.
        train: normalized inputs (n, ...) and integer labels (n,), as tensors, arrays or lists.
        kind: `chain` or `bezier`.
        bends: how many nodes lie between the ends.
        epochs: passes over the training set.
        batch_size: examples per step.
        lr: initial learning rate of SGD.
        momentum: of SGD.
        weight_decay: L2 coefficient, on the weights at the point of the curve that a batch sees.
        seed: of the order and of the points.
        free_ends: train the ends too.
        refresh_batch_size: of the statistics of batch normalization where the training is followed.
        device: where to train.
        state: a file for the state after each epoch, from which a killed training goes on.
        label: of the progress bar.

    Returns:
        The curve, its tensors on `device`.

    Raises:
        ValueError: a state of another network, a curve without a bend, inputs that are no floating-point numbers,
            labels that are no integers, or a training that diverges.
    """
    inputs, labels = network_examples(model, train, called="train")
    network, other = _at(model, start, called="start"), _at(model, end, called="end")
    ends = parameters_of(network), parameters_of(other)
    curve = Curve.straight(*ends, kind=kind, bends=bends, free_ends=free_ends)
    learner = CurveLearner(network, curve, weight_decay=weight_decay, refresh_batch_size=refresh_batch_size)
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=momentum,
        nesterov=False,
        weight_decay=0.0,  # the learner's own
        schedule="piecewise_linear",
    )
    history, _ = train_loop(
        learner,
        _Examples(inputs, labels, inputs, labels),
        recipe,
        seed=seed,
        keep=lambda epoch, learned: None,
        state=None if state is None else Path(state),
        device=device,
        label=label,
    )
    if problem := training_problem(learner.curve, history):
        raise ValueError(f"{problem}; lower lr = {lr}")
    return learner.curve
