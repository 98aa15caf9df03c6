"""Loss and accuracy of any network at many weight vectors: any loss function, any batches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.engine.additivity import require_additive
from lossatlas.engine.batches import Batch, Batches, as_batches, is_pair
from lossatlas.engine.determinism import disagreement, refuse_training_mode
from lossatlas.engine.evaluator import Evaluator, Measurement, distinct_state, model_state
from lossatlas.engine.fitting import fitting
from lossatlas.engine.objective import Criterion, Objective, mean
from lossatlas.engine.precision import Precision, check_precision, computing, products


def float_type(model: nn.Module) -> torch.dtype:
    """Return the floating-point type of a network's weights."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


class GeneralEvaluator:
    """Evaluates any network at any weights, as `Evaluator` does for classifiers.

    The caller's model is never written to: the network is copied once, and evaluated in eval mode with the running
    statistics of the point; nothing is folded or fused. Batches go to the device once. Tied weights are moved once, by
    their first name.

    Args:
        model: any network.
        data: named data sets, see `as_batches`.
        loss: see `Objective`.
        accuracy: see `Objective`.
        batch_size: examples per forward pass, where data are not in batches.
        device: where to compute.
        precision: see `Evaluator`.

    A loss or an accuracy that returns the mean of a batch is checked on all batches here, see `require_additive`.

    Raises:
        ValueError: impossible data, or such that the network cannot compute on, a loss or an accuracy that is none or
            not a mean over examples, a network that stays in training mode, or passes over the same data that disagree.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Mapping[str, Any],
        *,
        loss: Criterion | None = None,
        accuracy: Criterion | None = None,
        batch_size: int = 128,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """See the class."""
        check_precision(precision)
        self.device, self.precision, self.objective = torch.device(device), precision, Objective(loss, accuracy)
        sets = {name: as_batches(name, given, batch_size, float_type(model)) for name, given in data.items()}
        if not sets:
            raise ValueError("there is no data set to evaluate on; pass at least one")
        self._batches = {name: [batch.to(self.device) for batch in given.items] for name, given in sets.items()}
        self._shapes = {name: tensor.shape for name, tensor in model_state(model).items()}
        self._net = copy.deepcopy(model).to(self.device).eval().requires_grad_(False)
        refuse_training_mode(self._net)
        self._slots = distinct_state(self._net)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), products(self.device, tf32=False):
            self._check()

    @torch.no_grad()
    def _check(self) -> None:
        """Refuse networks whose passes differ, and losses that are no means over examples."""
        for name, batches in self._batches.items():
            self._try(name, batches[0])
        first = next(iter(self._batches.values()))[0]
        once = self._parts(first)
        again = self._parts(first)
        for (a, _), (b, _) in ((x, y) for x, y in zip(once, again, strict=True) if x is not None and y is not None):
            if not torch.allclose(a, b, rtol=1e-5, atol=1e-7, equal_nan=True):
                raise ValueError(disagreement(self._net, lambda: first.copied().run(self._net)))
        for batches in self._batches.values():
            require_additive(batches, self._parts, self._averages(batches[0]))

    def _try(self, name: str, batch: Batch) -> None:
        """Refuse batches that the network cannot be called with or cannot compute on."""
        content = batch.content if batch.named else batch.content[:-1]
        with fitting(self._net, name, content):
            try:
                batch.copied().run(self._net)
            except TypeError as error:
                how = f"{', '.join(f'{key}=' for key in content)}" if batch.named else "*inputs"
                raise TypeError(f"it cannot be called as model({how}): {error}") from error

    def _averages(self, batch: Batch) -> tuple[bool, bool]:
        """Tell whether loss and accuracy are the means of a batch."""
        return self.objective.averages(_widened(batch.copied().run(self._net)), batch)

    def _parts(self, batch: Batch) -> Any:
        # some networks write to their inputs, which are kept
        outputs = _widened(batch.copied().run(self._net))
        with torch.autocast(self.device.type, enabled=False):
            return self.objective.parts(outputs, batch)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Move to the point `state`: every parameter and buffer of the model by name.

        Raises:
            KeyError: a name is missing.
            ValueError: a shape differs.
        """
        missing = [name for name in self._shapes if name not in state]
        if missing:
            raise KeyError(f"the point lacks {missing[0]!r} ({len(missing)} of {len(self._shapes)} names are missing)")
        for name, shape in self._shapes.items():
            if state[name].shape != shape:
                raise ValueError(
                    f"the point's {name!r} has shape {tuple(state[name].shape)}, the model's {tuple(shape)}"
                )
        for name, slot in self._slots.items():
            slot.copy_(state[name])

    @torch.inference_mode()
    def measure(self, name: str) -> Measurement:
        """Return loss and accuracy on the data set `name` at the present point; an accuracy without meaning is NaN."""
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)  # of losses and hits, each with its count
        with computing(self.precision, self.device):
            for batch in self._batches[name]:
                for i, part in enumerate(self._parts(batch)):
                    if part is not None:
                        sums[2 * i] += part[0].to(self.device)
                        sums[2 * i + 1] += part[1]
        total, count, right, judged = sums.tolist()
        n = sum(batch.n for batch in self._batches[name])
        return Measurement(mean(total, count), mean(right, judged), n)

    def __call__(self, state: Mapping[str, Tensor], names: Sequence[str] = ()) -> dict[str, Measurement]:
        """Move to `state` and measure the data sets `names` (all by default)."""
        self.load(state)
        return {name: self.measure(name) for name in names or self._batches}


def _widened(outputs: Any) -> Any:
    """Return half-precision outputs as float32; objects of outputs are left to the loss."""
    if isinstance(outputs, Tensor) and outputs.is_floating_point():
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    return outputs


def general(data: Mapping[str, Any], *, loss: Criterion | None, accuracy: Criterion | None) -> bool:
    """Tell whether something else is wanted than the cross-entropy of a classifier on pairs of tensors."""
    return loss is not None or accuracy is not None or not all(map(is_pair, data.values()))


def settled(
    model: nn.Module,
    data: Mapping[str, Any],
    *,
    batch_size: int,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
) -> dict[str, Any]:
    """Return data sets as pairs of tensors or, for what is not a classifier on such, as batches that are read once.

    Raises:
        ValueError: impossible data, see `as_batches`.
    """
    if not general(data, loss=loss, accuracy=accuracy):
        return dict(data)
    dtype = float_type(model)
    return {name: as_batches(name, given, batch_size, dtype) for name, given in data.items()}


def examples(data: Any) -> int:
    """Return the number of examples of a data set."""
    return data.examples if isinstance(data, Batches) else len(data[1])


def make_evaluator(
    model: nn.Module,
    data: Mapping[str, Any],
    *,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    **engine: Any,
) -> Evaluator | GeneralEvaluator:
    """Return what evaluates a network on data: `Evaluator` where it can, `GeneralEvaluator` for all else.

    Args:
        model: the network.
        data: data sets by name, settled or not.
        loss: see `Objective`.
        accuracy: see `Objective`.
        **engine: `batch_size`, `device`, `precision`, and what `Evaluator` takes besides, which changes no values.

    Raises:
        ValueError: see `Evaluator` and `GeneralEvaluator`.
    """
    if not general(data, loss=loss, accuracy=accuracy):
        return Evaluator(model, data, **engine)
    own = {key: value for key, value in engine.items() if key not in ("channels_last", "fold", "fuse", "graph")}
    return GeneralEvaluator(model, data, loss=loss, accuracy=accuracy, **own)
