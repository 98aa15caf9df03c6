"""Lines and planes: losses and accuracies at multiples of directions from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lossatlas.engine.batches import AnyData, Batches
from lossatlas.engine.evaluator import model_state
from lossatlas.engine.general import examples, general, settled
from lossatlas.engine.objective import Criterion
from lossatlas.landscape.directions import Direction, Normalization, random_direction
from lossatlas.landscape.points import evaluate_points
from lossatlas.landscape.sampled import sampled_points
from lossatlas.landscape.sampling import Sampling
from lossatlas.results import Floats, Line, Plane, SampledPlane


def _coordinates(name: str, values: npt.ArrayLike) -> Floats:
    axis = np.asarray(values, dtype=np.float64)
    if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all():
        raise ValueError(f"{name} has shape {axis.shape}; it must be a vector of at least one finite coordinate")
    return axis


def _parameters(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def _splits(train: AnyData, test: AnyData | None) -> dict[str, Any]:
    return {"train": train} if test is None else {"train": train, "test": test}


def _provenance(
    splits: Mapping[str, Any], loss: Criterion | None, accuracy: Criterion | None, engine: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what was evaluated how: what is absent is the cross-entropy of a classifier in float32."""
    about: dict[str, Any] = {
        "examples": [examples(splits[name]) if name in splits else 0 for name in ("train", "test")]
    }
    if loss is None and any(isinstance(data, Batches) and data.items[0].named for data in splits.values()):
        about["loss"] = "model"  # its own, of which nothing is known
    for name, function in (("loss", loss), ("accuracy", accuracy)):
        if function is not None:
            about[name] = getattr(function, "__qualname__", repr(function))
    if engine.get("precision", "float32") != "float32":
        about["precision"] = engine["precision"]
    return about


def line(
    model: nn.Module,
    train: AnyData,
    test: AnyData | None = None,
    *,
    direction: Direction | None = None,
    alpha: npt.ArrayLike | None = None,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "line",
    executor: Executor | None = None,
    **engine: Any,
) -> Line:
    """Evaluate a network along a line, `theta + alpha d` (Li et al. 2018, sections 3 and 4).

    Args:
        model: a classifier that returns logits or, with a `loss` or data in other forms, any network; it is left
            untouched.
        train: normalized inputs (n, ...) and integer labels (n,), as tensors, arrays or lists; for any network also
            `(inputs, ..., targets)` or a mapping of tensors, a data set, or a loader or list of batches that are tuples
            or mappings and the same on every pass.
        test: the same for the test set.
        direction: the direction; a random one is drawn from `seed` if absent.
        alpha: coordinates, (k,); 51 from -1 to 1 if absent.
        seed: of the random direction.
        normalization: of the random direction, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the random direction.
        batch_size: examples per forward pass.
        loss: a function of outputs and targets (the whole batch, where batches are mappings) that returns one value per
            example, their mean, or a total and its count; the cross-entropy if absent, and for mappings the `loss` that
            the network returns.
        accuracy: the same for accuracies; if absent, that of logits where labels are classes, NaN elsewhere.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.
        **engine: `precision`, and for classifiers `channels_last`, `fold`, `fuse`, `graph`: see `Evaluator`.

    Raises:
        ValueError: impossible coordinates or data, a direction of other weights, a network that is not deterministic.
    """
    splits = settled(model, _splits(train, test), batch_size=batch_size, loss=loss, accuracy=accuracy)
    grid = _coordinates("alpha", np.linspace(-1, 1, 51) if alpha is None else alpha)
    along = direction or random_direction(
        model_state(model),
        seed=seed,
        normalization=normalization,
        exclude_1d=exclude_1d,
        parameters=_parameters(model),
    )
    points = evaluate_points(
        model,
        splits,
        [along],
        grid[:, None],
        journal=journal,
        label=label,
        executor=executor,
        batch_size=batch_size,
        device=device,
        loss=loss,
        accuracy=accuracy,
        **engine,
    )
    provenance = {"direction": along.description(), **_provenance(splits, loss, accuracy, engine)}
    return Line(alpha=grid, **points.values, computed=points.computed, note=points.note, provenance=provenance)


def plane(
    model: nn.Module,
    train: AnyData,
    test: AnyData | None = None,
    *,
    directions: tuple[Direction, Direction] | None = None,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    device: torch.device | str = "cpu",
    sampling: Sampling | None = None,
    journal: Path | str | None = None,
    label: str = "plane",
    executor: Executor | None = None,
    **engine: Any,
) -> Plane:
    """Evaluate a network on a plane, `theta + x d_x + y d_y` (Li et al. 2018, equation 1).

    With `sampling` most points are estimated from few images, at a small fraction of the cost: a coarse grid is exact,
    and at the points between, what neighbours tell about each image is corrected on a sample (control variates). The
    result is a `SampledPlane`, with the number of images and the standard error of each value; its provenance holds
    the settings, what the coarse grid was chosen from, and the evaluations that were spent.

    Args:
        model: a classifier that returns logits or, with a `loss` or data in other forms, any network; it is left
            untouched.
        train: normalized inputs (n, ...) and integer labels (n,), as tensors, arrays or lists; for any network also
            `(inputs, ..., targets)` or a mapping of tensors, a data set, or a loader or list of batches that are tuples
            or mappings and the same on every pass.
        test: the same for the test set.
        directions: the two axes; random ones are drawn from `seed` if absent.
        x: coordinates along the first axis, (nx,); 51 from -1 to 1 if absent.
        y: coordinates along the second, (ny,); as `x` if absent.
        seed: of the random directions.
        normalization: of the random directions, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the random directions.
        batch_size: examples per forward pass.
        loss: a function of outputs and targets (the whole batch, where batches are mappings) that returns one value per
            example, their mean, or a total and its count; the cross-entropy if absent, and for mappings the `loss` that
            the network returns.
        accuracy: the same for accuracies; if absent, that of logits where labels are classes, NaN elsewhere.
        device: where to compute.
        sampling: the tolerance of sampled values; None: all values are exact.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.
        **engine: `precision`, and for classifiers `channels_last`, `fold`, `fuse`, `graph`: see `Evaluator`.

    Raises:
        ValueError: impossible coordinates or data, directions of other weights, a network that is not deterministic.
    """
    xs = _coordinates("x", np.linspace(-1, 1, 51) if x is None else x)
    ys = _coordinates("y", xs if y is None else y)
    axes = directions or tuple(
        random_direction(
            model_state(model),
            seed=seed,
            stream=stream,
            normalization=normalization,
            exclude_1d=exclude_1d,
            parameters=_parameters(model),
        )
        for stream in ("direction_x", "direction_y")
    )
    splits = settled(model, _splits(train, test), batch_size=batch_size, loss=loss, accuracy=accuracy)
    provenance: dict[str, Any] = {
        "directions": [axis.description() for axis in axes],
        **_provenance(splits, loss, accuracy, engine),
    }
    options = {"journal": journal, "label": label, "executor": executor, **engine}
    options |= {"batch_size": batch_size, "device": device}
    if sampling is None:
        grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
        points = evaluate_points(model, splits, axes, grid, loss=loss, accuracy=accuracy, **options)
    else:
        if general(splits, loss=loss, accuracy=accuracy):
            raise ValueError("sampling takes classifiers on a pair of tensors and their cross-entropy; leave it out")
        points, about = sampled_points(model, splits, axes, xs, ys, sampling=sampling, **options)
        provenance["sampling"] = about
    shape = (len(xs), len(ys))
    values: dict[str, Any] = {name: array.reshape(shape) for name, array in points.values.items()}
    for name in ("train_n", "test_n") if sampling else ():
        values[name] = np.nan_to_num(values[name]).astype(np.int64)  # NaN without a test set
    kind = SampledPlane if sampling else Plane
    computed = points.computed.reshape(shape)
    return kind(x=xs, y=ys, **values, computed=computed, note=points.note, provenance=provenance)
