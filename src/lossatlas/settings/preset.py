"""The settings of a whole preset: all that `params.yaml` may hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lossatlas.settings.ensembles import (
    CurveSettings,
    EnsembleSettings,
    FgeSettings,
    Plane3Settings,
    check_curve,
    check_fge,
    check_plane3,
)
from lossatlas.settings.executors import ExecutorSettings
from lossatlas.settings.members import check_ensemble
from lossatlas.settings.runs import AugmentSettings, DataSettings, RunSettings
from lossatlas.settings.sections import Count, Name, Natural, Positive, PresetName, Section, known
from lossatlas.settings.studies import (
    AxisSettings,
    HessianSettings,
    InvarianceSettings,
    LineSettings,
    PlaneSettings,
    ProbeSettings,
    ProfileSettings,
    SlicesSettings,
    TrajectorySettings,
)
from lossatlas.settings.trainings import check_kept

# what a preset's results lie in: a preset below another must not have one of these names
FOLDERS = {
    *("data", "train", "line", "plane", "profile", "hessian", "trajectory", "probe", "invariance", "slices"),
    *("curve", "plane3", "fge", "ensemble", "sharpness", "figures", "check", "report", "explorer"),
    *("metrics", "curves", "tables", "stages", "vector", "lines"),
}


class TrackingSettings(Section):
    """MLflow: any tracking URI; a local database by default."""

    uri: Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9+.-]*://.+|databricks)$")] | None = None
    experiment: str
    live: bool


class EvaluationSettings(Section):
    """How lines, planes, profiles and trajectories are evaluated: exactly, or faster on a GPU (see `Evaluator`)."""

    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    graph: bool = False


class DeepRates(Section):
    """Learning rates of the deepest network, after the first."""

    second: Positive
    third: Positive
    fourth: Positive


class Budget(Section):
    """The training budget of one network of the table of ensembles, in epochs, and its learning rates."""

    epochs: Count
    snapshot_epochs: Count
    snapshot_middle: Count
    path_epochs: Count
    fge_start: Count
    fge_epochs: Count
    fge_cycle: Annotated[int, Field(ge=2, multiple_of=2)]
    lr: Positive
    fge_high: Positive
    fge_low: Positive
    curve_lr: Positive
    curve_epochs: Count


class Budgets(Section):
    """The budgets of the three networks of Garipov et al. 2018."""

    vgg16: Budget
    preresnet164: Budget
    wrn28_10: Budget


class Sizes(Section):
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
    budgets: Budgets
    curve_points: Annotated[int, Field(ge=2)]
    plane3_points: Annotated[int, Field(ge=2)]
    refresh_examples: Annotated[int, Field(ge=2)] | None
    refresh_batch_size: Annotated[int, Field(ge=2)]


class Params(Section):
    """Everything in `params.yaml`."""

    preset: PresetName
    title: str
    regime: Literal["embedded", "shortened", "full"]
    seed: Natural
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]
    evaluation: EvaluationSettings = EvaluationSettings()
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
    curves: dict[Name, CurveSettings] = {}
    planes3: dict[Name, Plane3Settings] = {}
    fges: dict[Name, FgeSettings] = {}
    ensembles: dict[Name, EnsembleSettings] = {}

    @field_validator("preset")
    @classmethod
    def _beside(cls, value: str) -> str:
        first, _, second = value.partition("/")
        if second in FOLDERS:
            raise ValueError(
                f"{second} is a folder of what preset {first} publishes; take another name after the slash"
            )
        return value

    @field_validator("datasets", "runs")
    @classmethod
    def _not_empty(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("is empty; a preset needs at least one entry")
        return value

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, run in self.runs.items():
            known(f"runs.{name}.data", run.data, self.datasets)
        studies = ("planes", "lines", "profiles", "hessians", "trajectories", "probes", "invariances")
        for group in studies:
            for name, study in getattr(self, group).items():
                known(f"{group}.{name}.run", study.run, self.runs)
        for name, about in self.planes.items():
            if about.epoch is not None:
                check_kept(f"planes.{name}.run", about.run, about.epoch, self.runs)
        for name, line in self.lines.items():
            if line.end is not None:
                known(f"lines.{name}.end", line.end, self.runs)
        for name, slices in self.slices.items():
            known(f"slices.{name}.data", slices.data, self.datasets)
        return self

    @model_validator(mode="after")
    def _connected(self) -> Self:
        for name, curve in self.curves.items():
            check_curve(name, curve, self.runs)
        for name, plane in self.planes3.items():
            check_plane3(name, plane, self.curves, self.runs)
        for name, fge in self.fges.items():
            check_fge(name, fge, self.runs)
        for name, ensemble in self.ensembles.items():
            known(f"ensembles.{name}.data", ensemble.data, self.datasets)
            check_ensemble(name, ensemble, self.fges, self.runs)
        return self
