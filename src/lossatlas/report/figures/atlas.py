"""What every figure of one report takes from the results: names, numbers, words for what is missing, one scale."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.figures.captions import caption
from lossatlas.report.figures.contours import Panel
from lossatlas.report.figures.curves import Curve
from lossatlas.report.figures.reading import reading
from lossatlas.report.figures.scale import LossScale, loss_scale
from lossatlas.report.figures.words import FIGURES
from lossatlas.report.made import Key
from lossatlas.report.targets import Targets
from lossatlas.report.variants import OPTIMIZERS, VARIANTS, departures
from lossatlas.report.wording import DIVERGED, NOT_RUN, outcome, published_error, published_percent, run_title
from lossatlas.results import History


@dataclass(frozen=True)
class Drawing:
    """A figure with the words around it and what it rests on.

    Attributes:
        id: its identifier.
        title: the headline.
        caption: what it shows, with numbers.
        paper: the paper's figure that it mirrors, empty if none.
        figure: the picture.
        how: how to read it.
        limits: what not to conclude from it.
        alt: what a reader who does not see it should know: what is shown, and the numbers of its networks.
        stages: kind and name of each stage whose results it read.
    """

    id: str
    title: str
    caption: str
    paper: str
    figure: Figure
    how: str = ""
    limits: str = ""
    alt: str = ""
    stages: tuple[Key, ...] = ()


class Atlas:
    """The results of one report in the words of its figures.

    Attributes:
        results: what was computed.
        targets: the published numbers.
        initialization: the loss that marks where random initializations lie.
        scale: levels and colours of every surface about trained weights.
    """

    def __init__(self, results: Results, targets: Targets) -> None:
        """Take results and published numbers."""
        self.results = results
        self.targets = targets
        self.initialization = targets.claim_number("init_below_2_5")
        self.scale: LossScale = loss_scale(item.plane for item in results.planes.values() if item.plane)

    def drawing(
        self,
        identifier: str,
        figure: Figure,
        *,
        runs: Iterable[str],
        details: Sequence[str] = (),
        seen: Mapping[str, str] | None = None,
    ) -> Drawing:
        """Return a figure with title and caption.

        Args:
            identifier: a key of `words.FIGURES`.
            figure: the picture.
            runs: the runs whose numbers it shows.
            details: sentences with numbers from the results.
            seen: sentences about what the picture shows, see `reading`.
        """
        words, shown = FIGURES[identifier], list(dict.fromkeys(runs))
        text = caption(identifier, self.results, self.targets, runs=shown, details=details)
        found = reading(identifier, self.results, runs=shown, seen=seen)
        alt = f"{words.title}. {words.opening} {self._said(shown)}".strip()
        return Drawing(identifier, words.title, text, words.label, figure, found.how, found.limits, alt)

    def _said(self, runs: Sequence[str]) -> str:
        """Return the test error of each run, for readers who do not see the picture."""
        parts = [f"{self.title(run)} {self.numbers(run, gap=' ')}" for run in runs if run in self.results.planned_runs]
        return f"Test errors: {'; '.join(parts)}." if parts else ""

    def numbers(self, run: str, *, gap: str = "   ") -> str:
        """Return our test error of a run with the published one in parentheses."""
        published = published_error(run, self.results, self.targets)
        beside = f"{gap}(published {published_percent(published)})" if published else ""
        return f"{outcome(self.results.runs.get(run))}{beside}"

    def title(self, run: str) -> str:
        """Return the name of a run's network; if trained other than the run's name says, with how it was."""
        return run_title(run, self.results) + self._flag(run)

    def batch(self, run: str) -> str:
        """Return the batch size of a run, or whether it is the small or the large one where it was not run.

        A run that was trained other than its name says is flagged here, except for the weight decay, see `decay`.
        """
        done, variant = self.results.runs.get(run), VARIANTS.get(run)
        if done is not None and done.train.get("batch_size"):
            size = f"batch {done.train['batch_size']:,}"
            return size + self._flag(run, besides=("batch_size", "weight_decay"))
        return "large batch" if variant and variant.large else "small batch"

    def recipe(self, run: str) -> str:
        """Return optimizer, by the name, and batch size of one of the eight minimizers of a network."""
        variant = VARIANTS[run]
        return f"{OPTIMIZERS[variant.optimizer]}, {self.batch(run)}"

    def decay(self, *runs: str) -> str:
        """Return the weight decay of some of the eight minimizers of a network, where not run the one of the name.

        Where it is not the same for all, whose each is stands behind it.
        """
        found: dict[float, dict[str, None]] = {}
        for run in runs:
            done = self.results.runs.get(run)
            value = (done.train if done else {}).get("weight_decay")
            optimizer = OPTIMIZERS[VARIANTS[run].optimizer]
            found.setdefault(VARIANTS[run].weight_decay if value is None else float(value), {})[optimizer] = None
        parts = [
            f"{value:g}" + (f" ({', '.join(of)})" if found.keys() - {value} else "") for value, of in found.items()
        ]
        return "weight decay " + ",\n".join(parts)

    def schedule(self, *runs: str) -> str:
        """Return the optimizer, by the name of the first, and the weight decay of minimizers that share them."""
        return f"{OPTIMIZERS[VARIANTS[runs[0]].optimizer]}, {self.decay(*runs)}"

    def _flag(self, run: str, *, besides: Collection[str] = ()) -> str:
        """Return how a run was trained other than its name says, in parentheses, but for the settings `besides`."""
        done = self.results.runs.get(run)
        unlike = departures(run, done.train) if done else {}
        found = [text for setting, text in unlike.items() if setting not in besides]
        return f" (in fact {', '.join(found)})" if found else ""

    def absent(self, run: str, info: Mapping[str, Any] | None = None) -> str:
        """Return the words that stand where nothing was computed: diverged, skipped and why, or not run.

        Args:
            run: the run that was to be looked at.
            info: the account of the stage, if there is one.
        """
        done = self.results.runs.get(run)
        if done is not None and done.diverged:
            return DIVERGED
        reason = (info or {}).get("reason")
        return f"skipped:\n{reason}" if reason else NOT_RUN

    def history(self, run: str) -> History | None:
        """Return the history of a run, if there is one."""
        done = self.results.runs.get(run)
        return done.history if done else None

    def plane(self, name: str, run: str, title: str, subtitle: str | None = None) -> Panel:
        """Return the contour panel of a plane by its name."""
        return self.fill(run, self.results.planes.get(name), title, subtitle)

    def fill(self, run: str, surface: Surface | None, title: str, subtitle: str | None = None) -> Panel:
        """Return a contour panel, with the test error below its title."""
        plane, absent = (surface.plane, self.absent(run, surface.info)) if surface else (None, self.absent(run))
        return Panel(title, self.numbers(run) if subtitle is None else subtitle, plane, absent)

    def panel(self, run: str) -> Panel:
        """Return the contour panel of a run under the name of its network."""
        return self.fill(run, self.results.plane_of(run), self.title(run))

    def curve(self, run: str, title: str | None = None) -> Curve:
        """Return the convergence curve of a run with its numbers."""
        return Curve(f"{title or self.title(run)}:\n{self.numbers(run, gap=' ')}", self.history(run))
