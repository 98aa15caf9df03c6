"""How long one image takes each network of a preset, measured on random images before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.engine.device import usable_device
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.models import build
from lossatlas.settings.runs import RunSettings
from lossatlas.stages.workload import Counts

TRIAL = 4  # images of the first measurement
LARGEST = 128  # images of the last one; larger batches hardly change the time per image
ENOUGH = 0.2  # seconds after which a measurement is good enough


@dataclass(frozen=True)
class Rates:
    """Seconds per image of one network, one thread; each is measured when it is first asked for."""

    run: RunSettings
    data: Counts
    device: str

    @cached_property
    def _model(self) -> nn.Module:
        sizes: dict[str, Any] = {"num_classes": self.data.classes, "input_size": self.data.size}
        return build(self.run.model.family, **(sizes | self.run.model.options)).to(usable_device(self.device))

    def _examples(self, n: int) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(0)
        images = torch.randn(n, 3, self.data.size, self.data.size, generator=draws)
        return images, torch.randint(0, self.data.classes, (n,), generator=draws)

    @cached_property
    def trained(self) -> float:
        """Seconds of one image in a training step at the run's batch size."""
        model, device = self._model.train(), usable_device(self.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)

        def prepare(n: int) -> Callable[[], object]:
            images, labels = (tensor.to(device) for tensor in self._examples(max(n, 2)))

            def step() -> object:
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                return float(next(model.parameters()).detach().sum())  # waits for a GPU

            return step

        return self._per_image(prepare, min(LARGEST, self.run.train.batch_size))

    @cached_property
    def evaluated(self) -> float:
        """Seconds of one image in an evaluation at a point."""

        def prepare(n: int) -> Callable[[], object]:
            evaluator, state = Evaluator(self._model, {"train": self._examples(n)}, device=self.device), self._state()
            return lambda: evaluator(state)

        return self._per_image(prepare, LARGEST)

    @cached_property
    def products(self) -> float:
        """Seconds of one image in a product with the Hessian."""

        def prepare(n: int) -> Callable[[], object]:
            operator = HessianOperator(self._model.eval(), self._examples(n), device=self.device)
            operator.load(self._state())
            vector = torch.ones(operator.size, dtype=torch.float64)
            return lambda: operator.product(vector)

        return self._per_image(prepare, LARGEST)

    def _state(self) -> dict[str, Tensor]:
        return model_state(self._model)

    def _per_image(self, prepare: Callable[[int], Callable[[], object]], largest: int) -> float:
        """Return the seconds per image of a computation on `largest` images, or fewer where those take long enough."""
        sizes = [TRIAL, *(n for n in (32, largest) if TRIAL < n <= largest)]
        # on a CPU the process's own time: other programs may be busy now
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        seconds = 0.0
        for n in sizes:
            compute = prepare(n)
            compute()  # the first time is longer
            begin = clock()
            compute()
            seconds = (clock() - begin) / n
            if n * seconds > ENOUGH:
                break
        return seconds
