"""Losses along a curve between two minimizers, with the statistics of batch normalization set in several ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lossatlas.engine.batches import AnyData, Batches
from lossatlas.engine.evaluator import Array, model_state
from lossatlas.engine.general import examples, general, make_evaluator, settled
from lossatlas.engine.inputs import network_inputs
from lossatlas.engine.objective import Criterion, Objective
from lossatlas.engine.statistics import Statistics
from lossatlas.files import sha256_bytes, sha256_json
from lossatlas.landscape.curves import Curve, Point, blended, whole_state
from lossatlas.landscape.points import AtPlace, content, data_content, measured, walk
from lossatlas.landscape.states import require_state
from lossatlas.models.weights import weights_hash
from lossatlas.results import VALUES, CurveLosses, Floats

Treatment = Literal["frozen", "interpolated", "refreshed"]


class _States:
    """The whole states of a network along a curve, by how their statistics are set.

    Attributes:
        device: where they are.
        refresh: what was refreshed from how much; nothing where there is nothing to refresh.
    """

    def __init__(
        self,
        model: nn.Module,
        curve: Curve,
        ends: tuple[Point | None, Point | None],
        *,
        refresher: Statistics | None,
        device: torch.device,
    ) -> None:
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        own = {name: tensor for name, tensor in model_state(model).items() if name not in parameters}
        nodes = [{name: tensor.to(device) for name, tensor in node.items()} for node in curve.nodes]
        self.device = device
        self._model, self._curve = model, Curve(curve.kind, tuple(nodes))
        self.start, self.end = ({name: (given or own)[name].to(device) for name in own} for given in ends)
        self._refresher = refresher if refresher and refresher.layers else None
        self.refresh: dict[str, int | None] = {"examples": 0, "batch_size": None, "layers": 0}
        if self._refresher:
            self.refresh = {name: getattr(self._refresher, name) for name in self.refresh}

    @property
    def alike(self) -> bool:
        """Whether every treatment gives the same states: nothing is refreshed, and the ends have equal buffers."""
        return self._refresher is None and all(torch.equal(self.start[n], self.end[n]) for n in self.start)

    def __call__(self, treatment: str, t: float) -> dict[str, Tensor]:
        """Return the state at t."""
        parameters = self._curve.at(t)
        if treatment == "interpolated":
            return whole_state(self._model, parameters, self._interpolated(t))
        state = whole_state(self._model, parameters, self.start)
        return self._refresher(state) if self._refresher and treatment == "refreshed" else state

    def _interpolated(self, t: float) -> dict[str, Tensor]:
        """Return buffers between those of the ends; counters are the start's up to the end."""
        if t == 1:
            return self.end
        numbers = [{n: x for n, x in side.items() if x.is_floating_point()} for side in (self.start, self.end)]
        return {**self.start, **blended(numbers, (1 - t, t))}


def _states(
    model: nn.Module,
    curve: Curve,
    ends: tuple[Point | None, Point | None],
    inputs: Tensor | None,
    batch_size: int,
    device: torch.device,
) -> _States:
    """Return the states along a curve; `inputs` are the examples that statistics are refreshed from."""
    refresher = None if inputs is None else Statistics(model, inputs, batch_size=batch_size, device=device)
    return _States(model, curve, ends, refresher=refresher, device=device)


def _measuring(
    model: nn.Module,
    splits: Mapping[str, Any],
    along: Callable[[], _States],
    places: Sequence[tuple[str, float]],
    engine: Mapping[str, Any],
) -> AtPlace:
    states = along()
    evaluator = make_evaluator(model, splits, device=states.device, **engine)
    return lambda i: measured(evaluator, states(*places[i]))


def _checked(t: npt.ArrayLike | None, statistics: Sequence[str], end: Point | None) -> Floats:
    points = np.asarray(np.linspace(0, 1, 61) if t is None else t, dtype=np.float64)
    if points.ndim != 1 or not len(points) or not ((points >= 0) & (points <= 1)).all():
        raise ValueError(f"t has shape {points.shape}; it must be a vector of at least one number from 0 to 1")
    if not statistics or len(set(statistics)) < len(statistics):
        raise ValueError(f"statistics = {list(statistics)}; name at least one treatment, each once")
    for name in statistics:
        if name not in get_args(Treatment):
            raise ValueError(f"statistics = {name!r} is unknown; allowed: {', '.join(get_args(Treatment))}")
    if "interpolated" in statistics and end is None:
        raise ValueError("statistics are interpolated between two ends; pass end_state, the state at the curve's end")
    return points


def curve_losses(
    model: nn.Module,
    curve: Curve,
    train: AnyData,
    test: AnyData | None = None,
    *,
    t: npt.ArrayLike | None = None,
    statistics: Sequence[Treatment] = ("refreshed",),
    start_state: Point | None = None,
    end_state: Point | None = None,
    refresh: Array | None = None,
    refresh_batch_size: int = 128,
    batch_size: int = 128,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "curve",
    executor: Executor | None = None,
    **engine: Any,
) -> CurveLosses:
    """Evaluate a network along a curve through its weights (Garipov et al. 2018, section 5 and Fig. 2).

    Statistics of batch normalization are `frozen` (those of the start everywhere), `interpolated` (linear in t between
    those of both ends) or `refreshed` (recomputed at every point, the ends included). All other buffers are those of
    the start, or interpolated too. At t = 0 and 1 the weights are exactly those of the ends. Where all ways are the
    same, as without batch normalization, a point is evaluated once.

    Args:
        model: any network; it is left untouched.
        curve: through its parameters.
        train: the data, see `plane`.
        test: the same for the test set.
        t: points of the curve, (k,); 61 from 0 to 1 if absent.
        statistics: the ways to set them, a row of the result each.
        start_state: the state at the start, whose buffers count; the model's own if absent.
        end_state: the state at the end, likewise.
        refresh: clean normalized inputs for the refresh; those of `train` if absent.
        refresh_batch_size: examples per pass of the refresh, which its result depends on.
        batch_size: examples per forward pass.
        loss: see `plane`.
        accuracy: see `plane`.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.
        **engine: `channels_last`, `fold`, `fuse`: see `Evaluator`.

    Raises:
        ValueError: impossible points, statistics or data, a curve or states of another network, a journal of
            other values, a network that is not deterministic.
    """
    points = _checked(t, statistics, end_state)
    curve.require(model)
    for called, given in (("start_state", start_state), ("end_state", end_state)):
        if given is not None:
            require_state(model, given, called=called)
    objective = {"loss": loss, "accuracy": accuracy}
    splits = {"train": train} if test is None else {"train": train, "test": test}
    splits = settled(model, splits, batch_size=batch_size, **objective)
    place = torch.device(device)
    inputs = _inputs(model, splits["train"], refresh) if "refreshed" in statistics else None
    along = partial(_states, model, curve, (start_state, end_state), inputs, refresh_batch_size, place)
    states = along()
    rows = statistics[:1] if states.alike else statistics
    settings = {"batch_size": batch_size, **engine}
    own = Objective(**objective).identity() if journal and general(splits, **objective) else {}
    places = [(row, float(at)) for row in rows for at in points]

    def identity() -> str:
        parts: list[Any] = [curve.kind, [weights_hash(tensors) for tensors in (*curve.nodes, states.start, states.end)]]
        parts += [sha256_bytes(points.tobytes()), list(rows), states.refresh, repr(model), place.type]
        parts += [[name, *data_content(data)] for name, data in splits.items()]
        parts += [content(inputs) if inputs is not None and states.refresh["layers"] else None]
        return sha256_json([*parts, {**settings, **own}])

    values, computed = walk(
        partial(_measuring, model, splits, along, places, {**settings, **objective}),
        len(rows) * len(points),
        names=VALUES,
        identity=identity,
        journal=journal,
        label=label,
        executor=executor,
    )
    shape, repeats = (len(rows), len(points)), (len(statistics) // len(rows), 1)
    found = {name: np.tile(array.reshape(shape), repeats) for name, array in values.items()}
    lengths = curve.lengths(points)
    return CurveLosses(
        t=points,
        **found,
        computed=np.tile(computed.reshape(shape), repeats),
        from_start=lengths.from_start,
        from_end=lengths.from_end,
        arc=lengths.arc,
        rows=tuple(statistics),
        note=_explain(curve, [found[f"{name}_loss"] for name in splits]),
        provenance={
            "kind": curve.kind,
            "bends": curve.bends,
            "nodes": [weights_hash(node) for node in curve.nodes],
            "examples": [examples(splits[name]) if name in splits else 0 for name in ("train", "test")],
            **({"precision": engine["precision"]} if engine.get("precision", "float32") != "float32" else {}),
            "refresh": states.refresh,
            "rows_alike": states.alike,
        },
    )


def _inputs(model: nn.Module, train: Any, refresh: Array | None) -> Tensor | None:
    """Return the examples that statistics are refreshed from, None where a network has none and they cannot be told."""
    if refresh is not None:
        return network_inputs(model, refresh)
    if not isinstance(train, Batches):
        return network_inputs(model, train[0])
    if not any(isinstance(module, _BatchNorm) and module.running_mean is not None for module in model.modules()):
        return None
    if any(batch.named or len(batch.content) != 2 or not isinstance(batch.content[0], Tensor) for batch in train.items):
        raise ValueError(
            "the network has batch normalization to refresh, and more inputs than one; pass refresh=inputs"
        )
    return torch.cat([batch.content[0] for batch in train.items])


def _explain(curve: Curve, losses: Sequence[Floats]) -> str:
    """Return why values are not finite, empty when all are."""
    bad = int((~np.isfinite(losses).all(axis=0)).sum())
    if not bad:
        return ""
    for i, node in enumerate(curve.nodes):
        if not all(bool(tensor.isfinite().all()) for tensor in node.values()):
            return f"the weights of node {i} are not finite"
    return f"{bad} points have a loss that overflows"
