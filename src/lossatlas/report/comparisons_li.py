"""Every published number of Li et al. beside ours."""

from __future__ import annotations

from collections.abc import Iterator

from lossatlas.report.addresses import minimizer_address
from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import FIGURE5, FIGURE6_CELLS, SOURCES, TABLE2, figure6_address, table2_address
from lossatlas.report.comparison import Comparison
from lossatlas.report.reasons import run_reasons
from lossatlas.report.targets import Address, Targets
from lossatlas.report.variants import VARIANTS
from lossatlas.report.wording import is_papers_run, run_title

# table of targets.yaml: the figures and tables here that show its numbers
SHOWN = {
    "table1_resnet56": ("table-1", "figure-14", "figure-15"),
    "table2_architectures": ("table-2", "figure-1", "figure-4", "figure-5", "figure-7", "figure-17", "figure-19"),
    "figure6_wrn56": ("figure-6", "figure-19"),
    "figure2_3_vgg9": ("vgg9-errors", "figure-2", "figure-3", "figure-9", "figure-10", "figure-16", "figure-18"),
    "figure9_11_12_13_vgg9_adam": ("vgg9-errors", "figure-9", "figure-10", "figure-18"),
}
# figure: the networks of Table 2 that it shows
ONLY: dict[str, tuple[str, ...]] = {
    "figure-1": ("resnet56", "resnet56_noshort"),
    "figure-4": ("resnet110_noshort",),
    "figure-5": (*FIGURE5[0], *FIGURE5[1]),
    "figure-7": ("resnet56", "resnet56_noshort"),
    "figure-17": ("resnet56_noshort",),
}
ALL_VGG9 = ("figure-11", "figure-12", "figure-13")
QUANTITIES = {"train_loss": "nats", "train_error": "%", "test_error": "%"}


def compare_li(results: Results, targets: Targets) -> Iterator[Comparison]:
    """Yield the numbers of Table 2, Figure 6, Table 1 and the figures of VGG-9."""
    for run in TABLE2:
        for quantity in QUANTITIES:
            yield _compare(run, quantity, table2_address(run, quantity), results, targets)
    for run in FIGURE6_CELLS:
        yield _compare(run, "test_error", figure6_address(run), results, targets)
    for run in sorted(VARIANTS, key=lambda run: VARIANTS[run].network, reverse=True):
        yield _compare(run, "test_error", minimizer_address(run), results, targets)


def _compare(run: str, quantity: str, address: Address, results: Results, targets: Targets) -> Comparison:
    done, unit = results.runs.get(run), QUANTITIES[quantity]
    value = done.final(quantity) if done else None
    reasons = tuple(run_reasons(run, results, targets.content["li2018"]["protocol"]))
    return Comparison(
        paper="li2018",
        source=SOURCES[str(address[1])],
        what=f"{run_title(run, results)}: {quantity.replace('_', ' ').replace('train ', 'training ')}",
        published=targets.get(address),
        ours=None if value is None else value if unit == "nats" else 100 * value,
        unit=unit,
        comparable=results.regime == "full" and is_papers_run(run, results) and not reasons,
        reasons=reasons,
        stage=("train", run) if done else None,
        diverged=bool(done and done.diverged),
        shown=_shown(str(address[1]), run, quantity),
    )


def _shown(table: str, run: str, quantity: str) -> tuple[str, ...]:
    """Return where a number stands; figures show test errors only."""
    places = SHOWN[table] + (ALL_VGG9 if "vgg9" in table else ())
    places = tuple(name for name in places if run in ONLY.get(name, (run,)))
    return places if quantity == "test_error" else places[:1]
