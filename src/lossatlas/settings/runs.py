"""Settings of data sets, networks and trainings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossatlas.settings.sections import Count, Fraction, Name, Natural, NonNegative, Positive, Scalar, Section


class DataSettings(Section):
    """A data set and the part of it that is used."""

    kind: Literal["digits", "cifar10", "cifar100", "imagefolder"]
    root: str | None = None
    train: Count | None = None
    test: Count | None = None
    subset: Literal["first", "stratified"] = "first"
    seed: Natural = 0


class ModelSettings(Section):
    """A network: its family and the family's options."""

    title: str
    family: str
    options: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        from lossatlas.models import check_model

        check_model(self.family, self.options)
        return self


class AugmentSettings(Section):
    """Random crop with padding (pixels) and horizontal flip."""

    padding: Natural
    flip: bool


class ScheduleOptions(Section):
    """Options of the learning-rate schedules; each takes its own."""

    fractions: list[Fraction] | None = None
    factor: Positive | None = None
    cycles: Count | None = None
    low: NonNegative | None = None
    cycle_epochs: Count | None = None
    flat: Fraction | None = None
    end: Fraction | None = None
    last: Fraction | None = None


class TrainSettings(Section):
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


class RunSettings(Section):
    """One training."""

    data: Name
    seed: Natural
    model: ModelSettings
    train: TrainSettings
