"""What all settings share: frozen, strict sections and the kinds of numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
# a name, or one below another: `cifar-mini/modes`
PresetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)?$")]
Scalar = bool | int | float | str


class Section(BaseModel):
    """Settings that cannot change, with no keys but the known ones and no conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def known(key: str, value: str, among: Mapping[str, object]) -> None:
    """Refuse a name that nothing has.

    Raises:
        ValueError: `value` is no key of `among`.
    """
    if value not in among:
        raise ValueError(f"{key} = {value!r} names nothing; known: {', '.join(sorted(among))}")
