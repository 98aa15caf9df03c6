"""Loss and accuracy of one network at many weight vectors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.engine.folding import find_pairs, fold_state, folded_copy

Examples = tuple[Tensor, Tensor]  # inputs (n, ...) and class labels (n,)


@dataclass(frozen=True)
class Measurement:
    """Mean cross-entropy (nats per example) and accuracy (fraction) on one data set."""

    loss: float
    accuracy: float
    n: int


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model by name, detached but not copied."""
    return {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}


class Evaluator:
    """Evaluates a network at any weights; the caller's model is never written to.

    The data go to the device once, in batches and (images on a CPU or GPU) in channels-last order; the network is
    copied once, with batch normalization folded into the layer before it where that is exact, and each point only
    rewrites the copy's weights. Everything is computed in eval mode with the running statistics of the point.

    Args:
        model: a classifier that returns logits, shape (batch, classes).
        data: named data sets, each `(inputs, labels)` with n >= 1 examples; inputs already normalized.
        batch_size: examples per forward pass; results depend on it only by rounding.
        device: where to compute.
        channels_last: store 4-D inputs and weights in channels-last order.
        fold: fold batch normalization where possible; False evaluates the network as it is.

    Raises:
        ValueError: a data set is empty or its lengths differ, or two passes over the same data disagree (dropout or
            other randomness that eval mode does not switch off).
    """

    def __init__(
        self,
        model: nn.Module,
        data: Mapping[str, Examples],
        *,
        batch_size: int = 128,
        device: torch.device | str = "cpu",
        channels_last: bool = True,
        fold: bool = True,
    ) -> None:
        """See the class."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.device = torch.device(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._names = tuple(model_state(model))
        self._batches = {name: self._prepare(name, examples, batch_size) for name, examples in data.items()}
        self._plain = copy.deepcopy(model).to(self.device).eval()
        self._pairs = find_pairs(self._plain) if fold else []
        self._net = self._arranged(folded_copy(self._plain, self._pairs))
        self._slots = model_state(self._net)
        self._check(model)
        del self._plain

    @property
    def folded(self) -> int:
        """The number of batch normalizations that were folded."""
        return len(self._pairs)

    def _prepare(self, name: str, examples: Examples, batch_size: int) -> list[Examples]:
        inputs, labels = examples
        if len(inputs) == 0 or len(inputs) != len(labels):
            raise ValueError(
                f"data set {name!r} has {len(inputs)} inputs and {len(labels)} labels; both must be equal and >= 1"
            )
        pairs = zip(inputs.split(batch_size), labels.split(batch_size), strict=True)
        return [(self._laid_out(x.to(self.device)), y.to(self.device)) for x, y in pairs]

    def _laid_out(self, tensor: Tensor) -> Tensor:
        return tensor.contiguous(memory_format=self._format) if tensor.dim() == 4 else tensor

    def _arranged(self, net: nn.Module) -> nn.Module:
        for parameter in net.parameters():
            parameter.requires_grad_(False)
            parameter.data = self._laid_out(parameter.data)
        return net

    def _check(self, model: nn.Module) -> None:
        """Refuse a network whose passes differ; undo a folding that changes its outputs."""
        state = model_state(model)
        name = next(iter(self._batches))
        first = self._batches[name][:1]
        self.load(state)
        with torch.inference_mode():
            once, again = (self._net(first[0][0]) for _ in range(2))
            whole = self._plain(first[0][0])
        if once.dim() != 2:
            raise ValueError(
                f"the model returns shape {tuple(once.shape)}; logits of shape (batch, classes) are needed"
            )
        if not torch.allclose(once, again, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ValueError(
                "two evaluations of the same weights on the same data differ; switch off what is random in eval mode "
                "(functional dropout, sampling, augmentation inside the model)"
            )
        # float32 rounding of a deep network; a wrong folding is off by far more
        if self._pairs and not torch.allclose(once, whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max()) + 1e-6):
            self._pairs = []
            self._net = self._arranged(self._plain)
            self._slots = model_state(self._net)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Move to the point `state`: every parameter and buffer of the model by name.

        Raises:
            KeyError: a name is missing.
        """
        missing = [name for name in self._names if name not in state]
        if missing:
            raise KeyError(f"the point lacks {missing[0]!r} ({len(missing)} of {len(self._names)} names are missing)")
        folded = fold_state({name: state[name].to(self.device) for name in self._names}, self._pairs)
        for name, slot in self._slots.items():
            slot.copy_(folded[name])

    @torch.inference_mode()
    def measure(self, name: str) -> Measurement:
        """Return loss and accuracy on the data set `name` at the present point, weighted by batch size."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        n = 0
        for inputs, labels in self._batches[name]:
            logits = self._net(inputs).float()
            total += functional.cross_entropy(logits, labels, reduction="sum").double()
            correct += (logits.argmax(1) == labels).sum()
            n += len(labels)
        return Measurement(float(total) / n, int(correct) / n, n)

    @torch.inference_mode()
    def logits(self, name: str) -> Tensor:
        """Return the network's outputs on the data set `name` at the present point, shape (n, classes), on the CPU."""
        return torch.cat([self._net(inputs).float().cpu() for inputs, _ in self._batches[name]])

    def __call__(self, state: Mapping[str, Tensor], names: Sequence[str] = ()) -> dict[str, Measurement]:
        """Move to `state` and measure the data sets `names` (all by default)."""
        self.load(state)
        return {name: self.measure(name) for name in names or self._batches}
