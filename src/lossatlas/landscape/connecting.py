"""Curves between two minimizers of a network of one's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Data, as_tensor
from lossatlas.landscape.curve_learner import CurveLearner
from lossatlas.landscape.curves import Curve, CurveKind
from lossatlas.training.loop import train as train_loop
from lossatlas.training.recipe import Recipe


@dataclass(frozen=True)
class _Examples:
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def _tensors(data: Data) -> tuple[Tensor, Tensor]:
    inputs, labels = map(as_tensor, data)
    if not inputs.is_floating_point():
        raise ValueError(f"train has inputs of type {inputs.dtype}; normalized floating-point inputs are needed")
    return inputs, labels


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
        ValueError: states of another network, a curve without a bend, inputs that are no floating-point numbers, or a
            training that diverges.
    """
    inputs, labels = _tensors(train)
    network = copy.deepcopy(model)
    network.load_state_dict(dict(start))
    names = [name for name, _ in network.named_parameters()]
    ends = [{name: state_[name].detach() for name in names} for state_ in (network.state_dict(), end)]
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
    if history.status == "diverged":
        raise ValueError(f"the curve's training diverged ({history.note}); lower lr = {lr}")
    return learner.curve
