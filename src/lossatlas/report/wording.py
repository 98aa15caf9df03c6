"""How the report words numbers and regimes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lossatlas.report.artefacts import Regime, Results, Run
from lossatlas.report.catalogue import test_error_address, title_of
from lossatlas.report.networks import differences, network_named, split_run
from lossatlas.report.targets import Address, Published, Targets
from lossatlas.report.variants import departures

NOT_RUN = "not run"
DIVERGED = "diverged"
SKIPPED = "skipped"
DAGGER_NOTE = (
    "† known from the publication's figure captions or its authors' repository, not from the source documents "
    "of this project."
)
REGIMES: dict[Regime, str] = {
    "embedded": (
        "Embedded data: a small data set that comes with a library stands in for the papers' images. Results are "
        "computed but deliberately not judged against the papers: published values and the differences from them stand "
        "beside ours, and a claim counts as not run here, even where the page says what its rule would give. Where "
        "values of this preset are committed, the checks compare with those."
    ),
    "shortened": (
        "Shortened: the papers' images with shorter schedules, fewer images or fewer grid points. Published values and "
        "the differences from them stand beside ours, never judged."
    ),
    "full": "Full protocol on the papers' data: the checks compare our numbers with the published ones.",
}


def percent(fraction: float | None) -> str:
    """Return an error, a fraction, as percent with two digits."""
    return "–" if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.2f} %"


def nats(loss: float | None) -> str:
    """Return a loss with three significant digits."""
    return "–" if loss is None or not math.isfinite(loss) else f"{loss:.3g}"


def published_percent(published: Published | None) -> str:
    """Return a published error, in percent, with its spread and its mark."""
    if published is None:
        return "–"
    spread = "" if published.spread is None else f" ± {published.spread:g}"
    return f"{published.value:.2f}{spread} %{published.mark}"


def listed(numbers: Iterable[float], *, word: str = "or") -> str:
    """Return distinct numbers in rising order in words; many of them as a range."""
    found = sorted(set(numbers))
    if len(found) > 4:
        return f"{found[0]:,} to {found[-1]:,}"
    return f" {word} ".join(f"{number:,}" for number in found)


def is_papers(run: str, results: Results) -> bool:
    """Return whether the network trained as `run` is the papers' one of that name; true where nothing was trained."""
    done, network = results.runs.get(run), network_named(run)
    return done is None or (network is not None and not differences(network, done.info))


def is_papers_run(run: str, results: Results) -> bool:
    """Return whether the papers' network was also trained as the run's name says; true where nothing was trained."""
    done = results.runs.get(run)
    return is_papers(run, results) and (done is None or not departures(run, done.train))


def published_address(run: str, results: Results) -> Address | None:
    """Return where the test error of a run is published, if its network is the papers' one.

    Classes and settings are those it was trained with; only the full protocol needs the published batch size.
    """
    done = results.runs.get(run)
    if not is_papers(run, results):
        return None
    classes = int(done.info.get("num_classes", 10)) if done else 100 if split_run(run).hundred else 10
    train = done.train if done else None
    return test_error_address(run, classes=classes, train=train, exact=results.regime == "full" and done is not None)


def published_error(run: str, results: Results, targets: Targets) -> Published | None:
    """Return the published test error that belongs beside ours of a run, see `published_address`."""
    address = published_address(run, results)
    return None if address is None else targets.find(address)


def outcome(run: Run | None) -> str:
    """Return our test error of a run, or that it diverged or was not run."""
    if run is None:
        return NOT_RUN
    return DIVERGED if run.diverged else percent(run.final("test_error"))


def run_title(run: str, results: Results) -> str:
    """Return the papers' name of a run's network; for other networks the title of the run itself.

    A network that still bears the name of the papers' one without being it also shows how it differs. A run with
    snapshot cycles, on CIFAR-100, or with another seed of Garipov et al.'s networks says so.
    """
    done, (base, papers, added) = results.runs.get(run), title_of(run)
    if papers is not None and is_papers(run, results):
        return papers + added
    title = (done.info.get("title") if done else None) or results.planned_runs.get(run, {}).get("title")
    if not title:
        return run
    network = network_named(base)
    if done is None or network is None or title != papers:
        return f"{title}{added}"
    return f"{title} ({', '.join(differences(network, done.info))}){added}"
