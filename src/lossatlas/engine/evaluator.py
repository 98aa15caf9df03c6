"""Loss and accuracy of one network at many weight vectors."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.engine import fusing
from lossatlas.engine.determinism import disagreement, refuse_training_mode
from lossatlas.engine.fitting import fitting
from lossatlas.engine.folding import find_pairs, fold_state, folded_copy, scattered
from lossatlas.engine.objective import right
from lossatlas.engine.precision import Precision, check_precision, computing, products
from lossatlas.engine.steps import Recorded, Step, Sums, cuda_graph

Examples = tuple[Tensor, Tensor]  # inputs (n, ...) and class labels (n,)
Array = Tensor | npt.NDArray[Any] | Sequence[Any]
Data = tuple[Array, Array]  # the same, as a caller has them
Network = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Measurement:
    """Mean loss (nats per example for cross-entropy) and accuracy on one data set.

    The accuracy is a fraction; NaN where there is none, and where the logits of an example hold NaN.
    """

    loss: float
    accuracy: float
    n: int


def as_tensor(values: Array) -> Tensor:
    """Return tensors as they are, arrays and lists as new tensors."""
    # copied: torch warns of arrays that are read-only and refuses those that run backwards
    return values if isinstance(values, Tensor) else torch.as_tensor(np.array(values, order="C"))


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model by name, detached but not copied."""
    return {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}


def distinct_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model, tied ones by their first name only, detached but not copied."""
    first: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        first.setdefault(id(tensor), (name, tensor))
    return {name: tensor.detach() for name, tensor in first.values()}


class Evaluator:
    """Evaluates a network at any weights; the caller's model is never written to.

    The data go to the device once, in batches and (images on a CPU or GPU) in channels-last order; the network is
    copied once, with batch normalization folded into the layer before it where that is exact, and each point only
    rewrites the copy's weights. Everything is computed in eval mode with the running statistics of the point.

    Args:
        model: a classifier that returns logits, shape (batch, classes).
        data: named data sets, each `(inputs, labels)` with n >= 1 examples; inputs already normalized, labels integers
            from 0 to classes - 1. Arrays and lists are converted, floating-point inputs to the model's precision;
            tensors of inputs are taken as they are.
        batch_size: examples per forward pass; results depend on it only by rounding.
        device: where to compute.
        channels_last: store 4-D inputs and weights in channels-last order.
        fold: fold batch normalization where possible; False evaluates the network as it is.
        fuse: fuse convolutions with additions and ReLUs where possible, which is on a CPU in float32; this changes
            results by rounding only. Batches whose outputs are not all finite, or whose largest
            outputs tie, are computed without.
        precision: of the forward pass. `float32` is exact, whatever a program has allowed elsewhere; `tf32` rounds the
            factors of products to 10 bits on a GPU and is exact on a CPU; `bfloat16` and `float16` are PyTorch's
            autocast. Losses are summed in float64 in any case. Folding is checked in float32.
        graph: on a GPU, record each shape of batch as a CUDA graph and replay it; without effect on a CPU. Where that
            fails a warning says why, and batches are computed one operation at a time.

    Raises:
        ValueError: there is no data, a data set is empty or its lengths differ, labels are no integers or no classes of
            the network, the network cannot compute on the inputs or returns something else than logits, an unknown
            precision, or two passes over the same data disagree (dropout or other randomness that eval mode does not
            switch off).
    """

    def __init__(
        self,
        model: nn.Module,
        data: Mapping[str, Data],
        *,
        batch_size: int = 128,
        device: torch.device | str = "cpu",
        channels_last: bool = True,
        fold: bool = True,
        fuse: bool = True,
        precision: Precision = "float32",
        graph: bool = False,
    ) -> None:
        """See the class."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if not data:
            raise ValueError("there is no data set to evaluate on; pass at least one, {'train': (inputs, labels)}")
        check_precision(precision)
        self.device, self.precision = torch.device(device), precision
        self._shapes = {name: tensor.shape for name, tensor in model_state(model).items()}
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._overwrites = True  # some networks write to their inputs, which are the caller's; seen below
        self._dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
        plain = copy.deepcopy(model).to(self.device).eval()
        refuse_training_mode(plain)
        # the trial passes of a network that draws random numbers must not move the caller's generators
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), products(self.device, tf32=False):
            self._batches = {name: self._prepare(name, examples, batch_size) for name, examples in data.items()}
            if not self._runs(plain):
                self._format = torch.contiguous_format
                self._batches = {name: self._prepare(name, examples, batch_size) for name, examples in data.items()}
                self._try(plain)
            self._pairs = find_pairs(plain) if fold else []
            self._use(folded_copy(plain, self._pairs))
            self._check(model_state(model))
            if self._pairs and not self._exact(self._net, plain):
                self._pairs = []
                self._use(plain)
            self._overwrites = self._writes_to_inputs()
            self._fused = self._faster(plain) if fuse else None
        self.load(model_state(model))
        self._sums = Sums(self._logits, self.device)
        record = cuda_graph(self.device) if graph and self.device.type == "cuda" else None
        self._recorded = Recorded(self._sums.add, record) if record else None

    @property
    def folded(self) -> int:
        """The number of batch normalizations that were folded."""
        return len(self._pairs)

    @property
    def fused(self) -> int:
        """The number of convolutions that were fused with what follows them."""
        return self._fused.convolutions if self._fused else 0

    @property
    def recorded(self) -> int:
        """The number of shapes of batches that are replayed from a recording."""
        return self._recorded.recordings if self._recorded else 0

    def _prepare(self, name: str, examples: Data, batch_size: int) -> list[Examples]:
        inputs, labels = map(as_tensor, examples)
        if inputs is not examples[0] and inputs.is_floating_point():
            inputs = inputs.to(self._dtype)
        if len(inputs) == 0 or len(inputs) != len(labels):
            raise ValueError(
                f"data set {name!r} has {len(inputs)} inputs and {len(labels)} labels; both must be equal and >= 1"
            )
        fractional = labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
        if fractional or labels.dim() != 1:
            raise ValueError(
                f"data set {name!r} has labels of type {str(labels.dtype).removeprefix('torch.')} and shape "
                f"{tuple(labels.shape)}; labels are integers 0, 1, ..., classes - 1 of shape (n,), one per input; "
                "for other targets pass loss=, a function of outputs and targets"
            )
        labels = labels.to(torch.int64)
        pairs = zip(torch.split(inputs, batch_size), torch.split(labels, batch_size), strict=True)
        return [(self._laid_out(x.to(self.device)), y.to(self.device)) for x, y in pairs]

    def _laid_out(self, tensor: Tensor) -> Tensor:
        return tensor.contiguous(memory_format=self._format) if tensor.dim() == 4 else tensor

    def _use(self, net: nn.Module) -> None:
        for parameter in net.parameters():
            parameter.requires_grad_(False)
            parameter.data = self._laid_out(parameter.data)
        self._net, self._slots = net, distinct_state(net)

    @torch.inference_mode()
    def _outputs(self, net: Network, inputs: Tensor) -> Any:
        return net(inputs.clone() if self._overwrites else inputs)

    @torch.inference_mode()
    def _writes_to_inputs(self) -> bool:
        guarded = self._first.clone()
        self._net(guarded)
        return not torch.equal(guarded, self._first)

    @property
    def _first(self) -> Tensor:
        return next(iter(self._batches.values()))[0][0]

    def _runs(self, net: nn.Module) -> bool:
        """Tell whether the network can compute in channels-last order: a `view` of its maps cannot."""
        try:
            self._try(net)
        except ValueError:
            return False
        return True

    def _try(self, net: nn.Module) -> None:
        """Refuse examples that the network cannot compute on."""
        for name, batches in self._batches.items():
            inputs = batches[0][0]
            with fitting(net, name, inputs):
                self._outputs(net, inputs[:2])

    def _exact(self, faster: Network, plain: nn.Module) -> bool:
        """Tell whether a folded or fused network gives the outputs of the plain one, at weights where errors show."""
        moved = scattered(plain)
        self.load(model_state(moved))
        found, whole = (self._outputs(net, self._first) for net in (faster, moved))
        scale = float(whole.abs().max())
        # float32 rounding of a deep network; what is folded or fused wrongly is off by far more
        return math.isfinite(scale) and torch.allclose(found, whole, rtol=1e-3, atol=1e-3 * scale + 1e-6)

    def _faster(self, plain: nn.Module) -> fusing.Fused | None:
        fused = fusing.fuse(self._net, self._first)
        return fused if fused and self._exact(fused, plain) else None

    def _check(self, state: Mapping[str, Tensor]) -> None:
        """Refuse a network that returns no logits or whose passes differ."""
        self.load(state)
        once, again = (self._outputs(self._net, self._first) for _ in range(2))
        if not isinstance(once, Tensor) or once.dim() != 2:
            found = f"shape {tuple(once.shape)}" if isinstance(once, Tensor) else f"a {type(once).__name__}"
            raise ValueError(
                f"the model returns {found}; logits of shape (batch, classes) are needed "
                "where no loss= is given, a function of outputs and targets"
            )
        if not torch.allclose(once, again, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ValueError(disagreement(self._net, lambda: self._outputs(self._net, self._first)))
        self._require_classes(once.shape[1])

    def _require_classes(self, classes: int) -> None:
        for name, batches in self._batches.items():
            lowest, highest = (int(bound) for bound in torch.aminmax(torch.cat([labels for _, labels in batches])))
            if lowest < 0 or highest >= classes:
                raise ValueError(
                    f"data set {name!r} has labels from {lowest} to {highest}; the model returns {classes} logits, so "
                    f"labels must lie in 0..{classes - 1}"
                )

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
        folded = fold_state({name: state[name].to(self.device) for name in self._shapes}, self._pairs)
        for name, slot in self._slots.items():
            slot.copy_(folded[name])

    @torch.inference_mode()
    def measure(self, name: str) -> Measurement:
        """Return loss and accuracy on the data set `name` at the present point, weighted by batch size."""
        batches = self._batches[name]
        with computing(self.precision, self.device):
            step = self._step(batches)
            self._sums.reset()
            for inputs, labels in batches:
                step(inputs, labels)
            total, hits = self._sums.fetch()
        n = sum(len(labels) for _, labels in batches)
        return Measurement(total / n, hits / n, n)

    def _step(self, batches: Sequence[Examples]) -> Step:
        """Return what adds a batch to the sums, by replay where that is wanted and works."""
        if not self._recorded:
            return self._sums.add
        self._recorded.prepare(batches)
        if self._recorded.problem:
            reason, self._recorded = self._recorded.problem, None
            warnings.warn(
                f"graph=True: batches are computed one operation at a time ({reason}); pass graph=False", stacklevel=3
            )
            return self._sums.add
        return self._recorded

    @torch.inference_mode()
    def example_values(self, name: str, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Return what `measure` is the mean of, example by example, at the present point.

        Args:
            name: the data set.
            start: the first example.
            stop: the one after the last; None: all that follow.

        Returns:
            Cross-entropies in nats, and whether each prediction is right (1, 0, or NaN, see `right`), both float64, of
            shape (stop - start,) and on the CPU. They depend on where the batches begin by rounding only.
        """
        losses, hits = [], []
        with computing(self.precision, self.device):
            for inputs, labels in _between(self._batches[name], start, stop):
                logits = self._logits(inputs)
                losses.append(functional.cross_entropy(logits, labels, reduction="none").double())
                hits.append(right(logits, labels))
        return torch.cat(losses).cpu(), torch.cat(hits).cpu()

    @torch.inference_mode()
    def logits(self, name: str) -> Tensor:
        """Return the network's outputs on the data set `name` at the present point, shape (n, classes), on the CPU."""
        with computing(self.precision, self.device):
            return torch.cat([self._logits(inputs) for inputs, _ in self._batches[name]]).cpu()

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return the outputs in at least float32: half precision is widened, float64 kept."""
        if self._fused and self._fused.takes(inputs):
            logits: Tensor = self._outputs(self._fused, inputs)
            if fusing.decided(logits):
                return logits
        logits = self._outputs(self._net, inputs)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def __call__(self, state: Mapping[str, Tensor], names: Sequence[str] = ()) -> dict[str, Measurement]:
        """Move to `state` and measure the data sets `names` (all by default)."""
        self.load(state)
        return {name: self.measure(name) for name in names or self._batches}


def _between(batches: Sequence[Examples], start: int, stop: int | None) -> Iterator[Examples]:
    """Yield the parts of batches that hold the examples from `start` to before `stop`."""
    first = 0
    for inputs, labels in batches:
        a, b = max(start - first, 0), len(labels) if stop is None else min(stop - first, len(labels))
        if a < b:
            yield inputs[a:b], labels[a:b]
        first += len(labels)
