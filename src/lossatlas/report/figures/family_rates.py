"""The figure of recorded learning rates of snapshot ensembles and of fast geometric ensembling."""

from __future__ import annotations

from collections.abc import Sequence

from lossatlas.report.artefacts import Cycles, Run
from lossatlas.report.figures import modes
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.axes import plain_number
from lossatlas.report.figures.plane_marks import snapshot_epochs
from lossatlas.report.figures.rates import RatePanel, Recorded, rate_figure
from lossatlas.report.networks import split_run


def rates(atlas: Atlas) -> Drawing:
    """Return the recorded learning rates of the ensembles' trainings with the formulas, a column per network."""
    results = atlas.results
    found = modes.ordered([*modes.ensemble_stems(results), *modes.cycle_stems(results)])
    # one data set of a network is enough, the first that was run: its steps on another are as many
    found.sort(key=lambda stem: stem not in results.runs)
    stems = list({split_run(stem).base: stem for stem in reversed(found)}.values())
    stems = modes.ordered(stems)[: modes.WIDE] or modes.blocks([])[0]
    panels = [_rate_panel(atlas, stem, stems) for stem in stems]
    words = [text for stem in stems if (text := _piecewise(atlas, stem))]
    return atlas.drawing("schedules", rate_figure(panels), runs=stems, details=list(dict.fromkeys(words)))


def _rate_panel(atlas: Atlas, stem: str, stems: Sequence[str]) -> RatePanel:
    results = atlas.results
    ind, sse, fge = results.runs.get(stem), results.runs.get(f"{stem}_sse"), results.fges.get(stem)
    return RatePanel(
        title=modes.stem_title(stem, results, among=stems),
        sse=None if sse is None else _recorded(sse, snapshot_epochs(sse.name, results)),
        ind=None if ind is None else _recorded(ind, [int(ind.train.get("epochs") or 0)]),
        fge=None if fge is None else _cycled(fge),
        sse_numbers=_sse_numbers(sse),
        fge_numbers=_fge_numbers(fge),
        absent=(atlas.absent(f"{stem}_sse"), atlas.absent(stem, fge.info if fge else None)),
    )


def _recorded(run: Run, epochs: Sequence[int]) -> Recorded | None:
    """Return the recorded steps of a run, None where it has none; members are its weights after some epochs."""
    history = run.history
    if len(history.step) == 0:
        return None
    per_epoch = len(history.step) / max(int(history.epoch[-1]), 1)
    return Recorded(history.step, history.step_learning_rate, [round(epoch * per_epoch) for epoch in epochs])


def _cycled(found: Cycles) -> Recorded | None:
    """Return the recorded steps of a training in cycles, counted from the start of its budget."""
    history, per_epoch = found.history, int(found.info["steps_per_epoch"])
    if history is None or len(history.step) == 0 or found.info["status"] != "finished":
        return None
    before = int(found.info["start"]) * per_epoch
    members = [before + epoch * per_epoch for epoch in found.info["members"]]
    return Recorded(before + history.step, history.step_learning_rate, members)


def _sse_numbers(run: Run | None) -> str:
    if run is None or len(run.history.step) == 0:
        return ""
    count = (run.train.get("schedule_options") or {}).get("cycles")
    words = [f"$T$ = {len(run.history.step):,}"]
    words += [f"$M$ = {count}"] * (count is not None)
    return ",  ".join([*words, rf"$\alpha_0$ = {plain_number(run.train['lr'])}"])


def _fge_numbers(found: Cycles | None) -> str:
    if found is None or _cycled(found) is None:
        return ""
    info, per_epoch = found.info, int(found.info["steps_per_epoch"])
    cycle = rf"$c$ = {info['cycle_epochs'] * per_epoch:,},  $\alpha_1$ = {plain_number(info['high'])}"
    return f"from iteration {info['start'] * per_epoch:,}:\n" + rf"{cycle},  $\alpha_2$ = {plain_number(info['low'])}"


def _piecewise(atlas: Atlas, stem: str) -> str:
    """Return the schedule of an independent network in words, "" where it is another one or is not known."""
    run = atlas.results.runs.get(stem)
    options = (run.train.get("schedule_options") or {}) if run else {}
    flat, end, last = (options.get(key) for key in ("flat", "end", "last"))
    if run is None or run.train.get("schedule") != "piecewise_linear" or None in (flat, end, last):
        return ""
    return f"Ind keeps its rate for {flat:.0%} of the budget, goes linearly to {last:g} of it at {end:.0%}, and stays."
