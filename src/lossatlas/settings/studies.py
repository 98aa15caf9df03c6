"""Settings of the studies of a run's weights (Li et al. 2018)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossatlas.settings.sections import Count, Name, Natural, NonNegative, Positive, Section


class AxisSettings(Section):
    """Equally spaced coordinates, ends included, in multiples of the direction."""

    min: Annotated[float, Field(allow_inf_nan=False)]
    max: Annotated[float, Field(allow_inf_nan=False)]
    points: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min or (self.points > 1 and self.max == self.min):
            raise ValueError(f"max = {self.max} must be above min = {self.min}")
        return self


class _Landscape(Section):
    run: Name
    seed: Natural
    normalization: Literal["filter", "layer", "weight", "none"]
    exclude_1d: bool
    train_examples: Count | None
    test_examples: Count | None
    batch_size: Count


class LineSettings(_Landscape):
    """A line from a run's final weights: random, or to another run's."""

    alpha: AxisSettings
    end: Name | None = None
    span: Literal["weights", "states"] = "weights"


class SamplingSettings(Section):
    """How far estimates from samples of the examples may lie from the mean over all: atol + rtol x loss."""

    rtol: NonNegative
    atol: NonNegative

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.rtol == self.atol == 0:
            raise ValueError("rtol and atol are both 0; leave sampling out for exact values")
        return self


class PlaneSettings(_Landscape):
    """A plane about a run's weights along two random directions; exact, or estimated from samples.

    `epoch`: after which training had these weights; absent, the final ones.
    """

    x: AxisSettings
    y: AxisSettings
    sampling: SamplingSettings | None = None
    epoch: Natural | None = None


class CutSettings(Section):
    """Lines along several random directions of one normalization."""

    normalization: Literal["filter", "layer", "weight", "none"]
    alpha: AxisSettings
    repeats: Count


class _Study(Section):
    """What every study of a run's final weights takes."""

    run: Name
    seed: Natural
    exclude_1d: bool
    train_examples: Count | None
    batch_size: Count


class ProfileSettings(_Study):
    """One-dimensional cuts through a run's final weights, by name, and the curvature along each direction."""

    cuts: dict[Name, CutSettings]
    test_examples: Count | None


class HessianSettings(_Study):
    """A map of both ends of the Hessian's spectrum, on the plane of the same seed and normalization."""

    normalization: Literal["filter", "layer", "weight", "none"]
    x: AxisSettings
    y: AxisSettings
    tolerance: Positive
    max_products: Count
    weights: Literal["matrices", "all"]


class TrajectorySettings(_Study):
    """The path of a training in a plane, over the loss in that plane."""

    axes: Literal["pca", "random", "random_and_start"]
    centred: bool
    span: Literal["weights", "states"]
    margin: Positive
    points: Count
    test_examples: Count | None


class ProbeSettings(_Study):
    """Loss at initialization, gradients of mini-batches, random cosines and condition numbers of a run."""

    schemes: list[Literal["li", "garipov", "torch", "glorot"]]
    repeats: Count
    gradient_batches: Annotated[int, Field(ge=2)]
    gradient_batch_size: Count
    far: Positive
    cosines: Count
    krylov: Count


class InvarianceSettings(_Study):
    """Lines through a run's weights before and after rescalings that leave the function unchanged."""

    alpha: AxisSettings
    relu_factor: Positive
    norm_factor: Positive


class SlicesSettings(Section):
    """Curvatures of random slices through a small network beside its full spectrum."""

    data: Name
    seed: Natural
    hidden: Count
    pool: Count
    steps: Count
    examples: Count
    directions: Count
