"""Every published number of `targets.yaml` with ours beside it, as `checks.json` keeps them and `check` tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossatlas.files import read_json
from lossatlas.report.artefacts import Regime, Results
from lossatlas.report.catalogue import PAPERS
from lossatlas.report.checks_runs import PAPER_INPUT
from lossatlas.report.comparison import STANDINGS, Comparison, Standing
from lossatlas.report.comparisons import compare_all
from lossatlas.report.networks import at_paper_width, network_built
from lossatlas.report.targets import Targets

PROTOCOLS: Mapping[Regime, str] = {"full": "exact protocol", "shortened": "shortened", "embedded": "other data"}


@dataclass(frozen=True)
class Reproduced:
    """One published number and what became of it.

    Attributes:
        what: paper, table, network and quantity in words.
        regime: `exact protocol`, `shortened` or `other data`: what the preset's results were computed under.
        unit: `%`, `nats` or nothing, of all numbers here.
        published: the number as printed, with `mark` if it is known from the publication alone.
        measured: ours; None where it was not run.
        tolerance: how far ours may be off under the exact protocol, in words.
        verdict: `reproduced` and `off` under the exact protocol alone, else `not compared` or `not run`.
        reason: what differs from the paper.
    """

    what: str
    regime: str
    unit: str
    published: float
    mark: str
    measured: float | None
    tolerance: str
    verdict: Standing
    reason: str

    @property
    def difference(self) -> float | None:
        """Ours minus the published one."""
        return None if self.measured is None else self.measured - self.published

    @property
    def text(self) -> str:
        """The verdict in words, `off by +0.71 %`; numbers that are not judged also say how far they are off."""
        if self.difference is None or self.verdict == "reproduced":
            return self.verdict
        return f"off by {self.difference:+.3g} {self.unit}".strip()


def compare_numbers(results: Results, targets: Targets) -> list[Reproduced]:
    """Return every number of `targets.yaml` that a run can reproduce, by paper, numbers of parameters last."""
    found = [_recorded(item, results.regime) for item in compare_all(results, targets)]
    return [*found, *compare_parameters(results, targets)]


def count_verdicts(numbers: Sequence[Reproduced]) -> dict[Standing, int]:
    """Return how many numbers have each verdict."""
    verdicts = [number.verdict for number in numbers]
    return {standing: verdicts.count(standing) for standing in STANDINGS}


def read_numbers(path: Path) -> list[Reproduced]:
    """Read the published numbers of a `checks.json`; none where an earlier version wrote it.

    Raises:
        ValueError: the file is cut off or the list is none of numbers.
    """
    try:
        return [Reproduced(**record) for record in read_json(path).get("numbers", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no readable list of numbers ({error!r}); run `dvc repro` to make it anew"
        ) from error


def _recorded(item: Comparison, regime: Regime) -> Reproduced:
    return Reproduced(
        what=f"{PAPERS[item.paper]}, {item.source}: {item.what}",
        regime=PROTOCOLS[regime],
        unit=item.unit,
        published=item.published.value,
        mark=item.published.mark,
        measured=item.ours,
        tolerance=item.tolerance,
        verdict=item.standing,
        reason=item.reason,
    )


def compare_parameters(results: Results, targets: Targets) -> Iterator[Reproduced]:
    """Yield numbers of parameters beside the published ones; one not in its published form has none to compare."""
    for paper, networks in targets.content["parameter_counts"].items():
        classes = 100 if str(paper).endswith("_100_classes") else 10
        for network, count in networks.items():
            measured = _parameters(str(network), classes, results)
            verdict: Standing = "not run" if measured is None else "reproduced" if measured == count else "off"
            yield Reproduced(
                what=f"{PAPERS[str(paper).partition('_')[0]]}, number of parameters: {network}, {classes} classes",
                regime="exact protocol",  # a network is the same whatever it is trained on
                unit="",
                published=float(count),
                mark="",
                measured=measured,
                tolerance="0",
                verdict=verdict,
                reason="",
            )


def _parameters(network: str, classes: int, results: Results) -> float | None:
    for run in results.runs.values():
        info = run.info
        if (
            network_built(info) == network
            and at_paper_width(str(info["family"]), info.get("options") or {})
            and (int(info["num_classes"]), int(info["input_size"])) == (classes, PAPER_INPUT)
        ):
            return float(info["parameters"])
    return None
