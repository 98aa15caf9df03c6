"""The settings as frozen, validated classes: what `params.yaml` may hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Scalar = bool | int | float | str


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataSettings(_Section):
    """A data set and the part of it that is used."""

    kind: Literal["digits", "cifar10", "cifar100", "imagefolder"]
    root: str | None = None
    train: Count | None = None
    test: Count | None = None
    subset: Literal["first", "stratified"] = "first"
    seed: Natural = 0


class ModelSettings(_Section):
    """A network: its family and the family's options."""

    title: str
    family: str
    options: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        from lossatlas.models import check_model

        check_model(self.family, self.options)
        return self


class AugmentSettings(_Section):
    """Random crop with padding (pixels) and horizontal flip."""

    padding: Natural
    flip: bool


class ScheduleOptions(_Section):
    """Options of the learning-rate schedules; each takes its own."""

    fractions: list[Fraction] | None = None
    factor: Positive | None = None
    cycles: Count | None = None
    low: NonNegative | None = None
    cycle_epochs: Count | None = None
    flat: Fraction | None = None
    end: Fraction | None = None
    last: Fraction | None = None


class TrainSettings(_Section):
    """How a network is trained; see `lossatlas.training.recipe.Recipe`."""

    epochs: Natural
    batch_size: Count
    optimizer: Literal["sgd", "adam"]
    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: NonNegative
    schedule: Literal["constant", "step_drops", "cosine_cycles", "fge_triangle", "piecewise_linear"]
    schedule_options: ScheduleOptions = ScheduleOptions()
    augment: AugmentSettings | None
    normalization: Literal["li", "imagenet", "cifar", "unit"]
    initialization: Literal["li", "garipov", "torch", "glorot"]
    micro_batch: Annotated[int, Field(ge=2)] | None = None
    checkpoints: list[Natural] = []
    checkpoint_every: Count | None = None
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    compile: bool = False

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        needed = {"step_drops": {"fractions"}, "cosine_cycles": {"cycles"}, "fge_triangle": {"low", "cycle_epochs"}}
        allowed = {
            "constant": set(),
            "step_drops": {"fractions", "factor"},
            "cosine_cycles": {"cycles"},
            "fge_triangle": {"low", "cycle_epochs"},
            "piecewise_linear": {"flat", "end", "last"},
        }[self.schedule]
        given = set(self.schedule_options.model_dump(exclude_none=True))
        if foreign := given - allowed:
            raise ValueError(
                f"schedule_options.{min(foreign)} is not an option of {self.schedule} "
                f"(allowed: {', '.join(sorted(allowed)) or 'none'})"
            )
        if missing := needed.get(self.schedule, set()) - given:
            raise ValueError(f"schedule_options.{min(missing)} is needed by {self.schedule}")
        if late := [epoch for epoch in self.checkpoints if epoch > self.epochs]:
            raise ValueError(f"checkpoints has epoch {late[0]}, after the last one ({self.epochs})")
        return self


class RunSettings(_Section):
    """One training."""

    data: Name
    seed: Natural
    model: ModelSettings
    train: TrainSettings


class AxisSettings(_Section):
    """Equally spaced coordinates, ends included, in multiples of the direction."""

    min: Annotated[float, Field(allow_inf_nan=False)]
    max: Annotated[float, Field(allow_inf_nan=False)]
    points: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min or (self.points > 1 and self.max == self.min):
            raise ValueError(f"max = {self.max} must be above min = {self.min}")
        return self


class _Landscape(_Section):
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


class PlaneSettings(_Landscape):
    """A plane about a run's final weights along two random directions."""

    x: AxisSettings
    y: AxisSettings


class CutSettings(_Section):
    """Lines along several random directions of one normalization."""

    normalization: Literal["filter", "layer", "weight", "none"]
    alpha: AxisSettings
    repeats: Count


class _Study(_Section):
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


class SlicesSettings(_Section):
    """Curvatures of random slices through a small network beside its full spectrum."""

    data: Name
    seed: Natural
    hidden: Count
    pool: Count
    steps: Count
    examples: Count
    directions: Count


class ExecutorSettings(_Section):
    """Where unfinished stages are computed ahead of DVC."""

    kind: Literal["process", "serial"]
    workers: Count | None = None


class TrackingSettings(_Section):
    """MLflow: any tracking URI; a local database by default."""

    uri: Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9+.-]*://.+|databricks)$")] | None = None
    experiment: str
    live: bool


class DeepRates(_Section):
    """Learning rates of the deepest network, after the first."""

    second: Positive
    third: Positive
    fourth: Positive


class Sizes(_Section):
    """What a preset scales; the other settings refer to it."""

    data: Name
    epochs: Natural
    deep_epochs: Natural
    batch_size: Count
    vgg_batch_small: Count
    vgg_batch_large: Count
    resnet_batch_large: Count
    lr: Positive
    lr_low: Positive
    deep_rates: DeepRates
    augment: AugmentSettings | None
    checkpoint_every: Count
    vgg_width: Count
    resnet_width: Count
    densenet_growth: Count
    plane: AxisSettings
    plane_high: Count
    line: AxisSettings
    interpolation: AxisSettings
    profile: AxisSettings
    enlarged: AxisSettings
    repeats: Count
    hessian: AxisSettings
    trajectory_points: Count
    train_examples: Count | None
    test_examples: Count | None
    hessian_examples: Count | None
    eval_batch_size: Count
    gradient_batch_size: Count


class Params(_Section):
    """Everything in `params.yaml`."""

    preset: Name
    title: str
    regime: Literal["embedded", "shortened", "full"]
    seed: Natural
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]
    sizes: Sizes
    executor: ExecutorSettings
    tracking: TrackingSettings
    datasets: dict[Name, DataSettings]
    runs: dict[Name, RunSettings]
    lines: dict[Name, LineSettings] = {}
    planes: dict[Name, PlaneSettings] = {}
    profiles: dict[Name, ProfileSettings] = {}
    hessians: dict[Name, HessianSettings] = {}
    trajectories: dict[Name, TrajectorySettings] = {}
    probes: dict[Name, ProbeSettings] = {}
    invariances: dict[Name, InvarianceSettings] = {}
    slices: dict[Name, SlicesSettings] = {}

    @field_validator("datasets", "runs")
    @classmethod
    def _not_empty(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("is empty; a preset needs at least one entry")
        return value

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, run in self.runs.items():
            _known(f"runs.{name}.data", run.data, self.datasets)
        studies = ("planes", "lines", "profiles", "hessians", "trajectories", "probes", "invariances")
        for group in studies:
            for name, study in getattr(self, group).items():
                _known(f"{group}.{name}.run", study.run, self.runs)
        for name, line in self.lines.items():
            if line.end is not None:
                _known(f"lines.{name}.end", line.end, self.runs)
        for name, slices in self.slices.items():
            _known(f"slices.{name}.data", slices.data, self.datasets)
        return self


def _known(key: str, value: str, among: dict[str, Any]) -> None:
    if value not in among:
        raise ValueError(f"{key} = {value!r} names nothing; known: {', '.join(sorted(among))}")
