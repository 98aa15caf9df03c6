"""Which run stands in which cell of which figure and table, and where its published numbers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.targets import Address, where

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
}
ROWS = ("with shortcuts", "without shortcuts")

FIGURE1 = ("resnet56_noshort", "resnet56")
FIGURE4 = ("resnet110_noshort", "densenet121")
FIGURE5 = (
    ("resnet20", "resnet56", "resnet110"),
    ("resnet20_noshort", "resnet56_noshort", "resnet110_noshort"),
)
FIGURE6 = (
    ("resnet56", "wrn56_2", "wrn56_4", "wrn56_8"),
    ("resnet56_noshort", "wrn56_2_noshort", "wrn56_4_noshort", "wrn56_8_noshort"),
)
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
PAPERS = {"li2018": "Li et al. 2018", "garipov2018": "Garipov et al. 2018"}
SOURCES = {
    "table2_architectures": "Table 2",
    "figure6_wrn56": "Figure 6",
    "figure2_3_vgg9": "Figures 2 and 3",
    "figure9_11_12_13_vgg9_adam": "Figures 9 and 11 to 13",
    "table1_error": "Table 1",
}
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
GARIPOV = ("vgg16", "preresnet164", "wrn28_10")
VGG9_BATCHES = (128, 8192)


def table2_address(run: str, quantity: str) -> Address:
    """Return where Table 2 of Li et al. gives `train_loss`, `train_error` or `test_error` of `run`."""
    model, lr = TABLE2[run]
    return ("li2018", "table2_architectures", where(model=model, lr=lr), quantity)


def figure6_address(run: str) -> Address:
    """Return where Figure 6 of Li et al. gives the test error of `run`."""
    k, shortcut = FIGURE6_CELLS[run]
    return ("li2018", "figure6_wrn56", where(k=k, shortcut=shortcut), "test_error")


def vgg9_address(train: Mapping[str, Any], *, batch_size: int | None = None) -> Address | None:
    """Return where Li et al. give the test error of VGG-9 under the training settings `train`, if they do.

    Args:
        train: optimizer, weight decay and batch size.
        batch_size: stands in for the batch size of `train`.
    """
    optimizer = str(train.get("optimizer", ""))
    if not optimizer.startswith(("sgd", "adam")):
        return None
    table = "figure9_11_12_13_vgg9_adam" if optimizer.startswith("adam") else "figure2_3_vgg9"
    row = where(weight_decay=train.get("weight_decay"), batch_size=batch_size or train.get("batch_size"))
    return ("li2018", table, row, "test_error")


def test_error_address(
    run: str, *, classes: int = 10, train: Mapping[str, Any] | None = None, exact: bool = True
) -> Address | None:
    """Return where the test error of `run` is published.

    Args:
        run: a run's name.
        classes: the number of classes it was trained on; Garipov et al. give 10 and 100, Li et al. 10.
        train: its training settings, which select among the published runs of VGG-9.
        exact: whether the batch size must be a published one; otherwise the run `vgg9` stands for the small batch.

    Returns:
        The address, or None where no paper gives a number for this run.
    """
    if run in GARIPOV and classes in (10, 100):
        return ("garipov2018", "table1_error", f"cifar{classes}", run, "ind", 0)
    if classes != 10:
        return None
    if run in TABLE2:
        return table2_address(run, "test_error")
    if run in FIGURE6_CELLS:
        return figure6_address(run)
    if not run.startswith("vgg9"):
        return None
    settings = train or {}
    published = exact or run != "vgg9" or settings.get("batch_size") in VGG9_BATCHES
    return vgg9_address(settings, batch_size=None if published else min(VGG9_BATCHES))


def source_of(address: Address) -> str:
    """Return the paper, the table or figure and the data set of a published number, in words."""
    data = address[2] if address[1] == "table1_error" else "cifar10"
    return f"{PAPERS[str(address[0])]}, {SOURCES[str(address[1])]}, {DATA[str(data)]}"
