"""Names and options of the network families, checkable without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Value = int | float | bool | str
MINIMUM_INPUT_SIZE = 8


@dataclass(frozen=True)
class Option:
    """One option of a family: its default (which also fixes its type), a test, and the test in words."""

    default: Value
    allowed: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class Family:
    """A family of networks: `class_name` in `lossatlas.models.<module>`, its options, and what must hold between them.

    `conflict` receives the completed options and returns what is wrong with their combination, or None.
    """

    module: str
    class_name: str
    options: Mapping[str, Option]
    conflict: Callable[[Mapping[str, Any]], str | None] = lambda options: None


def _at_least_one(default: int) -> Option:
    return Option(default, "an int of 1 or more", lambda value: value >= 1)


def _flag(default: bool) -> Option:
    return Option(default, "true or false", lambda value: True)


def _depth(default: int, *, step: int, rest: int) -> Option:
    first = [step * n + rest for n in (1, 2, 3)]
    allowed = f"{step}n+{rest} with n of 1 or more ({first[0]}, {first[1]}, {first[2]}, ...)"
    return Option(default, allowed, lambda value: value > rest and (value - rest) % step == 0)


def _vgg_conflict(options: Mapping[str, Any]) -> str | None:
    if options["variant"] == "li" and not options["batch_norm"]:
        return "variant = 'li' always has batch norm, but batch_norm = False; use variant 'garipov' or batch_norm true"
    if options["variant"] == "garipov" and options["depth"] == 9:
        return "variant = 'garipov' has depth 16 or 19, but depth = 9; use variant 'li'"
    return None


def _densenet_conflict(options: Mapping[str, Any]) -> str | None:
    depth, bottleneck = options["depth"], options["bottleneck"]
    if depth == 121 and not bottleneck:
        return "depth = 121 always has bottlenecks, but bottleneck = False; use depth 40 or 100, or bottleneck true"
    if depth != 121 and bottleneck and (depth - 4) % 6:
        return f"depth = {depth} with bottleneck = True is impossible; allowed: 121 or 6n+4, or bottleneck false"
    return None


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "vgg": Family(
            "vgg",
            "VGG",
            {
                "depth": Option(9, "9, 16 or 19", lambda value: value in (9, 16, 19)),
                "variant": Option("li", "'li' or 'garipov'", lambda value: value in ("li", "garipov")),
                "batch_norm": _flag(True),
                "base_width": _at_least_one(64),
            },
            _vgg_conflict,
        ),
        "resnet": Family(
            "resnet",
            "ResNet",
            {
                "depth": _depth(56, step=6, rest=2),
                "shortcut": _flag(True),
                "width": _at_least_one(1),
                "base_width": _at_least_one(16),
            },
        ),
        "preresnet": Family(
            "preresnet", "PreResNet", {"depth": _depth(164, step=9, rest=2), "base_width": _at_least_one(16)}
        ),
        "wide_resnet": Family(
            "wide_resnet",
            "WideResNet",
            {
                "depth": _depth(28, step=6, rest=4),
                "widen": _at_least_one(10),
                "dropout": Option(0.0, "a float from 0 up to, not including, 1", lambda value: 0 <= value < 1),
                "base_width": _at_least_one(16),
            },
        ),
        "densenet": Family(
            "densenet",
            "DenseNet",
            {
                "depth": Option(121, "3n+4 (40, 100, 121, ...)", lambda value: value > 4 and (value - 4) % 3 == 0),
                "growth": _at_least_one(32),
                "bottleneck": _flag(True),
            },
            _densenet_conflict,
        ),
    }
)


def _checked(where: str, option: Option, value: object) -> Value:
    kind = type(option.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{where} = {value!r} must be of type {kind.__name__}; allowed: {option.allowed}")
    if not option.accepts(value):
        raise ValueError(f"{where} = {value!r} is impossible; allowed: {option.allowed}")
    return value


def check_model(family: str, options: Mapping[str, object]) -> dict[str, Value]:
    """Return `options` of `family` completed with the defaults, in the family's order.

    Raises:
        ValueError: One line that names the key, the value and what is allowed.
    """
    if family not in FAMILIES:
        raise ValueError(f"model family = {family!r} is unknown; allowed: {', '.join(FAMILIES)}")
    known = FAMILIES[family].options
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"model {family}: {key} = {value!r} is not an option; allowed: {', '.join(known)}")
    complete = {
        key: _checked(f"model {family}: {key}", option, options.get(key, option.default))
        for key, option in known.items()
    }
    conflict = FAMILIES[family].conflict(complete)
    if conflict is not None:
        raise ValueError(f"model {family}: {conflict}")
    return complete


def check_shape(num_classes: object, input_size: object) -> None:
    """Raise ValueError unless both are ints, `num_classes` at least 1 and `input_size` (pixels a side) at least 8."""
    for key, value, least in (("num_classes", num_classes, 1), ("input_size", input_size, MINIMUM_INPUT_SIZE)):
        if type(value) is not int or value < least:
            raise ValueError(f"{key} = {value!r} is impossible; allowed: an int of {least} or more")
