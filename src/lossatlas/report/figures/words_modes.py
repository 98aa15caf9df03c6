"""Titles and openings of the figures of Garipov et al. 2018 and Huang et al. 2017."""

from __future__ import annotations

from lossatlas.report.figures.heading import Words

GARIPOV = "garipov2018"
_PLANES = (
    "One network on three planes: through three minimizers that were trained independently; through two of them and "
    "the bend of a polygonal chain; through the same two and the bend of a Bezier curve. Axes are L2 distances in "
    "weight space, from the first point and toward the second. "
)

MODES = {
    "garipov-figure-1": Words(
        "Minimizers joined by curves",
        f"{_PLANES}Top: training loss; bottom: training error. Both colour scales are logarithmic.",
        "Figure 1",
        errors=False,
        source=GARIPOV,
    ),
    "garipov-figure-1-test": Words(
        "Minimizers joined by curves, on the test set",
        f"{_PLANES}Top: test loss; bottom: test error, in the colours of the figure before.",
        "Figure 1",
        errors=False,
        source=GARIPOV,
    ),
    "garipov-figure-2": Words(
        "Loss and error along curves",
        "Training loss and test error from one minimizer (t = 0) to another one (t = 1): on the straight segment and "
        "on trained curves. On the segment the statistics of batch normalization are once interpolated between the "
        "ends and once refreshed at each point. All axes of values are logarithmic and the same in every row.",
        "Figure 2",
        errors=False,
        source=GARIPOV,
    ),
    "fge-cycles": Words(
        "Cycles of fast geometric ensembling",
        "The end of a budget spent in short cycles. Top: learning rate of every step; middle: test error after every "
        "epoch; bottom: L2 distance from where the cycles start, in all parameters. Members are taken where the rate "
        "is lowest. Vertical axes differ between networks.",
        "Figure 3",
        errors=False,
        source=GARIPOV,
    ),
    "sse-trajectory": Words(
        "Snapshots on a plane",
        "The path of training with cosine cycles over the training loss, on the plane through the first, the middle "
        "and the last snapshot; other points of the path are projected onto it. Axes are L2 distances in weight "
        "space.",
        errors=False,
    ),
    "schedules": Words(
        "Learning rates of both ensembling methods",
        "Recorded learning rates of every iteration. Top: snapshot ensembles (Huang et al. 2017) with T iterations "
        "in M cycles. Bottom: fast geometric ensembling (Garipov et al. 2018) in cycles of c iterations, from a "
        "point of an independent network's training (Ind), which itself goes on to the end of the budget; i counts "
        "from there.",
        errors=False,
    ),
    "ensemble-size": Words(
        "Error against the number of members",
        "Test error (top) and negative log-likelihood (bottom) of averaged predictions. Lines: members of the first "
        "budget, in the order in which they were taken, one more at each point. Large marks: all members of one, two "
        "and three budgets (1B, 2B, 3B). The horizontal axis is logarithmic; vertical axes differ between networks.",
        errors=False,
    ),
    "further-modes": Words(
        "Further planes through three points",
        "Training loss on planes through three points that the figures above do not show, in colours of their own. "
        "Axes are L2 distances in weight space.",
        errors=False,
    ),
}
