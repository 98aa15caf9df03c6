"""Which run stands in which cell of which figure and table, and where its published numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.networks import split_run
from lossatlas.report.targets import Address, where
from lossatlas.report.variants import BATCHES, departures
from lossatlas.report.variants import OPTIMIZERS as OPTIMIZERS
from lossatlas.report.variants import VARIANTS as VARIANTS

TITLES = {
    "resnet20": "ResNet-20",
    "resnet20_noshort": "ResNet-20-noshort",
    "resnet56": "ResNet-56",
    "resnet56_noshort": "ResNet-56-noshort",
    "resnet56_noshort_lr001": "ResNet-56-noshort, low rate",
    "resnet110": "ResNet-110",
    "resnet110_noshort": "ResNet-110-noshort",
    "wrn56_2": "WRN-56, k = 2",
    "wrn56_2_noshort": "WRN-56-noshort, k = 2",
    "wrn56_4": "WRN-56, k = 4",
    "wrn56_4_noshort": "WRN-56-noshort, k = 4",
    "wrn56_8": "WRN-56, k = 8",
    "wrn56_8_noshort": "WRN-56-noshort, k = 8",
    "vgg9": "VGG-9",
    "densenet121": "DenseNet-121",
    "vgg16": "VGG-16",
    "preresnet164": "PreResNet-164",
    "wrn28_10": "WRN-28-10",
    "resnet158": "ResNet-158",
    "resnet158_noshort": "ResNet-158-noshort",
    "resnet158_noshort_lr001": "ResNet-158-noshort, rate / 10",
    "resnet158_noshort_lr1e-3": "ResNet-158-noshort, rate / 100",
    "resnet158_noshort_lr1e-4": "ResNet-158-noshort, rate / 1,000",
}
for _run, _variant in VARIANTS.items():
    TITLES.setdefault(_run, f"{TITLES[_variant.network]}, {_variant.words}")
ROWS = ("with shortcuts", "without shortcuts")

FIGURE1 = ("resnet56_noshort", "resnet56")
# the line from the small-batch to the large-batch minimizer, and the two runs
FIGURE2 = (
    ("vgg9_nowd_interpolation", "vgg9_nowd", "vgg9_large_nowd"),
    ("vgg9_interpolation", "vgg9", "vgg9_large"),
)
FIGURE3 = ("vgg9_nowd", "vgg9_large_nowd", "vgg9", "vgg9_large")  # planes, and cuts "filter"
FIGURE4 = ("resnet110_noshort", "densenet121")
FIGURE5 = (
    ("resnet20", "resnet56", "resnet110"),
    ("resnet20_noshort", "resnet56_noshort", "resnet110_noshort"),
)
FIGURE6 = (
    ("resnet56", "wrn56_2", "wrn56_4", "wrn56_8"),
    ("resnet56_noshort", "wrn56_2_noshort", "wrn56_4_noshort", "wrn56_8_noshort"),
)
FIGURE7 = ("resnet56", "resnet56_noshort", "densenet121")  # maps of the Hessian's extremes
# trajectory: the panel's headline
FIGURE8 = {"vgg9_random": "two random directions", "vgg9_random_and_start": "one random direction"}
FIGURE9 = (
    ("vgg9_nowd", "vgg9_large_nowd", "vgg9", "vgg9_large"),
    ("vgg9_adam_nowd", "vgg9_adam_large_nowd", "vgg9_adam", "vgg9_adam_large"),
)
FIGURE9_ROWS = ("SGD", "Adam")
# a column each: optimizer and weight decay; its two runs differ in batch size
FIGURE10 = (
    ("vgg9_nowd", "vgg9_large_nowd"),
    ("vgg9", "vgg9_large"),
    ("vgg9_adam_nowd", "vgg9_adam_large_nowd"),
    ("vgg9_adam", "vgg9_adam_large"),
)
# rows by weight decay; columns: SGD small, SGD large, Adam small, Adam large
VGG9_EIGHT, RESNET56_EIGHT = (
    tuple(
        tuple(run for run, item in VARIANTS.items() if item.network == network and item.decayed == decayed)
        for decayed in (False, True)
    )
    for network in ("vgg9", "resnet56")
)
FIGURE11_CUT, FIGURE12_CUT, FIGURE13_CUT = "none", "none_enlarged", "layer"
REACH = {"figure-11": 1.0, "figure-12": 0.2}  # how far the axes of Li et al. reach on both sides
FILTER_CUT = "filter"  # figures 3, 15 and 16
# the line from the small-batch to the large-batch minimizer, and the two runs
FIGURE14 = tuple(
    (f"{stem}{decay}_interpolation", f"{stem}{decay}", f"{stem}_large{decay}")
    for stem in ("resnet56", "resnet56_adam")
    for decay in ("_nowd", "")
)
FIGURE16 = FIGURE3
FIGURE17 = tuple(f"resnet56_noshort{suffix}" for suffix in ("", "_plane1", "_plane2", "_plane3"))
FIGURE18 = VGG9_EIGHT
DEPTH158 = (
    "resnet158",
    "resnet158_noshort",
    "resnet158_noshort_lr001",
    "resnet158_noshort_lr1e-3",
    "resnet158_noshort_lr1e-4",
)
# with shortcuts or without: depth and the probed run
DEPTHS = {
    "with shortcuts": {20: "resnet20", 56: "resnet56", 110: "resnet110", 158: "resnet158"},
    "without shortcuts": {depth: f"resnet{depth}_noshort" for depth in (20, 56, 110, 158)},
}
FIGURE19 = {
    "ResNet": FIGURE5[0],
    "ResNet without shortcuts": (*FIGURE5[1][:2], "resnet56_noshort_lr001", FIGURE5[1][2]),
    "Wide ResNet-56": FIGURE6[0],
    "Wide ResNet-56 without shortcuts": FIGURE6[1],
}
# run: the model and initial learning rate that select its row of Table 2
TABLE2 = {
    "resnet20": ("resnet20", 0.1),
    "resnet20_noshort": ("resnet20_noshort", 0.1),
    "resnet56": ("resnet56", 0.1),
    "resnet56_noshort": ("resnet56_noshort", 0.1),
    "resnet56_noshort_lr001": ("resnet56_noshort", 0.01),
    "resnet110": ("resnet110", 0.1),
    "resnet110_noshort": ("resnet110_noshort", 0.01),
}
FIGURE6_CELLS = {run: (k, row == 0) for row in (0, 1) for k, run in zip((1, 2, 4, 8), FIGURE6[row], strict=True)}
PAPERS = {"li2018": "Li et al. 2018", "garipov2018": "Garipov et al. 2018", "huang2017": "Huang et al. 2017"}
SOURCES = {
    "table2_architectures": "Table 2",
    "figure6_wrn56": "Figure 6",
    "figure2_3_vgg9": "Figures 2 and 3",
    "figure9_11_12_13_vgg9_adam": "Figures 9 and 11 to 13",
    "table1_resnet56": "Table 1",
    "table1_error": "Table 1",
}
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
GARIPOV = ("vgg16", "preresnet164", "wrn28_10")
HUANG = {
    "resnet110": "ResNet-110",
    "wrn32": "Wide-ResNet-32, k = 4",
    "densenet40": "DenseNet-40, growth 12",
    "densenet100": "DenseNet-100, growth 24",
}


def table2_address(run: str, quantity: str) -> Address:
    """Return where Table 2 of Li et al. gives `train_loss`, `train_error` or `test_error` of `run`."""
    model, lr = TABLE2[run]
    return ("li2018", "table2_architectures", where(model=model, lr=lr), quantity)


def figure6_address(run: str) -> Address:
    """Return where Figure 6 of Li et al. gives the test error of `run`."""
    k, shortcut = FIGURE6_CELLS[run]
    return ("li2018", "figure6_wrn56", where(k=k, shortcut=shortcut), "test_error")


def variant_address(network: str, train: Mapping[str, Any]) -> Address | None:
    """Return where Li et al. give the test error of VGG-9 or ResNet-56 under the training settings `train`, if they do.

    Args:
        network: `vgg9` or `resnet56`.
        train: optimizer, weight decay and batch size.
    """
    optimizer = next((name for name in OPTIMIZERS if str(train.get("optimizer", "")).startswith(name)), None)
    if optimizer is None:
        return None
    settings = {"weight_decay": train.get("weight_decay"), "batch_size": train.get("batch_size")}
    if network == "resnet56":
        return ("li2018", "table1_resnet56", where(optimizer=optimizer, **settings), "test_error")
    table = "figure9_11_12_13_vgg9_adam" if optimizer == "adam" else "figure2_3_vgg9"
    return ("li2018", table, where(**settings), "test_error")


def ensemble_address(network: str, data: str, method: str, budgets: int) -> Address:
    """Return where Table 1 of Garipov et al. gives the error of a method at one, two or three budgets."""
    return ("garipov2018", "table1_error", data, network, method, budgets - 1)


def curve_address(network: str, data: str, what: str, which: int) -> Address:
    """Return where the authors' program of Garipov et al. gives a test error along curves.

    Args:
        network: the network's name.
        data: `cifar10` or `cifar100`.
        what: `endpoints`, `bezier` or `polychain`.
        which: of the end points 0 or 1; of a curve 0 for the lowest error along it, 1 for the highest.
    """
    return ("garipov2018", "curves_test_error", data, network, what, which)


def snapshot_address(network: str, data: str, method: str) -> Address:
    """Return where Table 1 of Huang et al. gives the error of a method, `snapshot_0.1` for example."""
    return ("huang2017", "table1_error", network, method, ("cifar10", "cifar100").index(data))


def test_error_address(
    run: str, *, classes: int = 10, train: Mapping[str, Any] | None = None, exact: bool = True
) -> Address | None:
    """Return where the test error of `run` is published.

    Args:
        run: a run's name.
        classes: the number of classes it was trained on; Garipov et al. give 10 and 100, Li et al. 10.
        train: its training settings, which select among the published runs of VGG-9 and ResNet-56, whatever the
            name says.
        exact: whether the batch size must be a published one; otherwise the name says which published run it stands
            for, and the settings of a run that was not trained.

    Returns:
        The address, or None where no paper gives a number for this run, and of runs with snapshot cycles.
    """
    name = split_run(run)
    if name.snapshots or (train or {}).get("schedule") == "cosine_cycles":
        return None
    if name.base in GARIPOV and name.seed is None and classes in (10, 100):
        return ensemble_address(name.base, f"cifar{classes}", "ind", 1)
    if classes != 10:
        return None
    as_named = not departures(run, train or {})
    if run in TABLE2 and as_named:
        return table2_address(run, "test_error")
    if run in FIGURE6_CELLS and as_named:
        return figure6_address(run)
    network = next((name for name in BATCHES if run.startswith(name) and "noshort" not in run), None)
    settings, variant = dict(train or {}), VARIANTS.get(run)
    if variant and not exact and settings.get("batch_size") not in BATCHES[variant.network]:
        named = {"optimizer": variant.optimizer, "weight_decay": variant.weight_decay}
        settings = named | settings | {"batch_size": variant.batch_size}
    return variant_address(network, settings) if network else None


def title_of(run: str) -> tuple[str, str | None, str]:
    """Return the run whose network and settings a run shares, the papers' title of that one, and what the run adds.

    Runs of Garipov et al.'s networks are told apart by data, schedule and seed; other runs by data and schedule alone.
    """
    name = split_run(run)
    repeated = name.seed is not None and name.base in GARIPOV
    if run in TITLES or not (name.hundred or name.snapshots or repeated):
        return run, TITLES.get(run), ""
    words = [DATA["cifar100"]] * name.hundred + ["snapshot cycles"] * name.snapshots
    words += [] if name.seed is None else [f"seed {name.seed}"]
    return name.base, TITLES.get(name.base), "".join(f", {word}" for word in words)


def source_of(address: Address) -> str:
    """Return the paper, the table or figure and the data set of a published number, in words."""
    data = address[2] if address[1] == "table1_error" else "cifar10"
    return f"{PAPERS[str(address[0])]}, {SOURCES[str(address[1])]}, {DATA[str(data)]}"
