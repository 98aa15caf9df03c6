"""Which network of the papers a trained one is, whatever its run is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESNET56 = {"depth": 56, "shortcut": True, "width": 1}
VGG16 = {"depth": 16, "variant": "garipov", "batch_norm": False}
# network: its family and every option but those of SCALES
NETWORKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "vgg9": ("vgg", {"depth": 9, "variant": "li", "batch_norm": True}),
    "densenet121": ("densenet", {"depth": 121, "bottleneck": True}),
    "vgg16": ("vgg", VGG16),
    "vgg16_bn": ("vgg", {**VGG16, "batch_norm": True}),
    "preresnet110": ("preresnet", {"depth": 110}),
    "preresnet164": ("preresnet", {"depth": 164}),
    "wrn28_10": ("wide_resnet", {"depth": 28, "widen": 10, "dropout": 0.0}),
}
for _suffix, _shortcut in (("", True), ("_noshort", False)):
    for _depth in (20, 56, 110, 158):
        NETWORKS[f"resnet{_depth}{_suffix}"] = ("resnet", {**RESNET56, "depth": _depth, "shortcut": _shortcut})
    for _width in (2, 4, 8):
        NETWORKS[f"wrn56_{_width}{_suffix}"] = ("resnet", {**RESNET56, "width": _width, "shortcut": _shortcut})
# family: the network that it gives without options
DEFAULTS = {
    "vgg": "vgg9",
    "resnet": "resnet56",
    "preresnet": "preresnet164",
    "wide_resnet": "wrn28_10",
    "densenet": "densenet121",
}
# options that small presets lower and the network is still the same one, thinner; with the papers' values
SCALES: Mapping[str, Mapping[str, Any]] = {
    "vgg": {"base_width": 64},
    "resnet": {"base_width": 16},
    "preresnet": {"base_width": 16},
    "wide_resnet": {"base_width": 16},
    "densenet": {"growth": 32},
}
GARIPOV = ("vgg16", "vgg16_bn", "preresnet110", "preresnet164", "wrn28_10")
# what a run's name adds to its network's: optimizer, batch, weight decay, learning rate, data, snapshot cycles, seed
VARIANT = re.compile(r"(_adam|_large|_nowd|_lr[\de-]+|_cifar100|_sse|_seed\d+)+$")
_ADDED = re.compile(r"(?P<base>.+?)(?P<hundred>_cifar100)?(?P<snapshots>_sse)?(?:_seed(?P<seed>\d+))?")


@dataclass(frozen=True)
class RunName:
    """What the name of a run says besides its network, optimizer, batch and weight decay.

    Attributes:
        base: the name without all this.
        hundred: whether it is trained on CIFAR-100.
        snapshots: whether its learning rate goes through the cycles of snapshot ensembles.
        seed: which repeat it is, None for the first.
    """

    base: str
    hundred: bool = False
    snapshots: bool = False
    seed: int | None = None


def split_run(run: str) -> RunName:
    """Return the parts of a run's name, such as `vgg16_cifar100_sse_seed1`."""
    found = _ADDED.fullmatch(run)
    if found is None:
        return RunName(run)
    seed = found["seed"]
    return RunName(found["base"], bool(found["hundred"]), bool(found["snapshots"]), None if seed is None else int(seed))


def network_named(run: str) -> str | None:
    """Return the network of the papers that the name of a run promises, if it promises one."""
    if run.startswith("vgg9"):
        return "vgg9"
    network = VARIANT.sub("", run)
    return network if network in NETWORKS else None


def network_built(info: Mapping[str, Any]) -> str | None:
    """Return the network of the papers, at any width, that a run's `family` and `options` describe; None if none."""
    return next((network for network in NETWORKS if not differences(network, info)), None)


def differences(network: str, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in words how the network of a run differs from one of the papers; nothing where it is that one.

    Args:
        network: a key of `NETWORKS`.
        info: the run's `family` and `options`; options that are missing have the family's defaults.
    """
    family, wanted = NETWORKS[network]
    if info["family"] != family:
        return (str(info["family"]),)
    actual = {**NETWORKS[DEFAULTS[family]][1], **(info.get("options") or {})}
    return tuple(f"{key} {actual[key]}" for key in wanted if actual[key] != wanted[key])


def at_paper_width(family: str, options: Mapping[str, Any]) -> bool:
    """Return whether a network has as many filters as in the papers (tests and embedded data use thinner ones)."""
    return all(options.get(name, width) == width for name, width in SCALES.get(family, {}).items())


def count_key(network: str, *, classes: int) -> tuple[str, str]:
    """Return the paper's key and the name under which `parameter_counts` lists a network of the papers."""
    paper = "garipov2018" if network in GARIPOV else "li2018"
    return paper if classes == 10 else f"{paper}_{classes}_classes", network
