"""Where a stage's result is shown."""

from collections.abc import Iterator

import pytest

from lossatlas.report import catalogue
from lossatlas.report.appearances import appearances

LI, GARIPOV, HUANG = catalogue.PAPERS.values()


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("plane", "resnet56", [f"{LI}, Figure {n}" for n in (1, 5, 6, 15)]),
        ("plane", "resnet56_noshort_plane2", [f"{LI}, Figure 17"]),
        ("train", "resnet56", [f"{LI}, Figure 19", f"{LI}, Table 2", f"{LI}, Table 1"]),
        ("train", "vgg16_seed1", [f"{GARIPOV}, Table 1"]),
        ("line", "vgg9_interpolation", [f"{LI}, Figure 2"]),
        ("profile", "vgg9_adam", [f"{LI}, Figure {n}" for n in (11, 12, 13)]),
        ("hessian", "densenet121", [f"{LI}, Figure 7"]),
        ("trajectory", "vgg9_random", [f"{LI}, Figure 8"]),
        ("curve", "vgg16_bezier", [f"{GARIPOV}, Figure 2"]),
        ("plane3", "vgg16_bezier", [f"{GARIPOV}, Figure 1"]),
        ("fge", "vgg16", [f"{GARIPOV}, Figure 3", f"{GARIPOV}, Table 1"]),
        ("ensemble", "vgg16-digits-ind", [f"{GARIPOV}, Table 1"]),
        ("ensemble", "densenet40-cifar10-sse", [f"{HUANG}, Table 1"]),
        ("data", "digits", []),
        ("plane", "mine", []),
    ],
)
def test_where_a_result_stands(kind: str, name: str, expected: list[str]) -> None:
    assert list(appearances(kind, name)) == expected


def _shown() -> Iterator[tuple[str, str, str]]:
    yield from (("plane", name, "Figure 1") for name in catalogue.FIGURE1)
    yield from (("hessian", name, "Figure 7") for name in catalogue.FIGURE7)
    yield from (("train", name, "Table 2") for name in catalogue.TABLE2)


@pytest.mark.parametrize(("kind", "name", "item"), list(_shown()))
def test_every_run_of_a_figure_names_it(kind: str, name: str, item: str) -> None:
    assert f"{LI}, {item}" in appearances(kind, name)
