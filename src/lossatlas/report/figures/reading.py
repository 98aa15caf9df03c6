"""How to read each figure and what not to conclude from it, in plain words.

What stands here holds by the way a figure is drawn, whatever the results are. What depends on them is computed and
fills the braces: see `seen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lossatlas.report.artefacts import Results

ONE_RUN = (
    "Each network was trained {epochs} with {seeds} on {data}; differences as small as those between seeds mean "
    "nothing."
)
FROM_ABOVE = (
    "Dark is a low loss, bright a high one, and lines join points of equal loss: where they are close the loss is "
    "steep. The trained network lies at (0, 0). Round lines about one centre look convex; ragged ones, or islands away"
    " from the centre, do not."
)
TWO_OF_MANY = (
    "A plane holds two directions out of as many as there are weights: where the picture is rough the loss is rough, "
    "but where it is smooth the loss may still bend elsewhere."
)
ALONG = (
    "On the horizontal axis 0 is the trained network; other values are weights that many times the direction away. A "
    "curve that rises slowly from there is a flat minimizer along this direction, one that rises fast a sharp one."
)
WEIGHTS_GROW = (
    "Do not compare widths here: without normalization by filter the scale of the weights alone makes a minimizer look "
    "sharp or flat, which is the point of this figure."
)
ONE_LINE = "One random direction is one draw: another one gives other details."
EPOCHS_READ = (
    "Read each curve from left, the initialization, to right. A lower curve is better; a training curve below its test "
    "curve is a network that fits the training images better than new ones."
)
NOT_FINAL = "Curves that still fall at their right end are not trained to the end, so their order there is no ranking."
THREE_POINTS = (
    "Marked points are networks, and axes are marked with distances in weight space. Both axes have one scale, unless "
    "a panel says that it is stretched upward: then directions and lengths in the picture are not true. Where a curve "
    "between two points stays in the dark the loss stays low all the way; a bright ridge across the straight line "
    "between them is a barrier on it."
)
MINIMIZERS = (
    "On the line between the minimizers 0 is the small batch and 1 the large one. {minima}The wider the valley about a "
    "minimizer, the flatter it looks; a curve that ends at one shows one side of it only."
)
NOT_THE_STRAIGHT = (
    "A low path between two networks does not make them one: they may still disagree on images. Off the drawn line the "
    "plane is one choice of many."
)


@dataclass(frozen=True)
class Reading:
    """How to read a figure, and what not to conclude from it."""

    how: str
    limits: str


SEEN = dict.fromkeys(("lowest", "minima", "norms", "start"), "")
READINGS = {
    "figure-1": Reading(
        "Height and colour are the loss, with every step upwards a multiplication. {lowest}A bowl is easy to "
        "descend; hills and cliffs around it are hard.",
        f"{TWO_OF_MANY} {ONE_RUN}",
    ),
    "figure-1-linear": Reading(
        "As the figure before, with the loss itself as height: what lies high looks steeper, what lies low flatter.",
        "A flat top is where the drawing is cut off, not where the loss is flat.",
    ),
    "figure-2": Reading(
        f"{MINIMIZERS} In the middle a falling norm means that weights shrink; on the right, a narrower histogram"
        " means smaller weights.",
        "The left column does not show which minimizer generalizes better: of two minimizers the one with smaller "
        f"weights tends to look sharper for that alone. {{norms}}{ONE_RUN}",
    ),
    "figure-3": Reading(f"{ALONG} Below, {FROM_ABOVE[0].lower()}{FROM_ABOVE[1:]}", f"{TWO_OF_MANY} {ONE_RUN}"),
    "figure-4": Reading(
        "Height and colour are the loss, with every step upwards a multiplication. Compare how many separate dips "
        "there are and how steep their walls are.",
        f"The two networks differ in more than their shortcuts. {TWO_OF_MANY} {ONE_RUN}",
    ),
    "figure-5": Reading(f"{FROM_ABOVE} Depth grows from left to right.", f"{TWO_OF_MANY} {ONE_RUN}"),
    "figure-6": Reading(f"{FROM_ABOVE} Width grows from left to right.", f"{TWO_OF_MANY} {ONE_RUN}"),
    "figure-7": Reading(
        "Each square is a point of the plane. Dark: the loss bends up in nearly all directions there; bright: it "
        "bends down somewhere about as strongly as it bends up elsewhere.",
        "A dark region is no proof of convexity: only the two ends of the spectrum are measured, each within its "
        f"residual. {ONE_RUN}",
    ),
    "figure-8": Reading(
        "The line is the path of training, the colours are the loss. Look at the percentages on the axes: they say "
        "how much of the path each direction holds.",
        "A path that looks like a point or a straight line here need not be short or straight: what the percentages "
        "leave out lies outside the plane.",
    ),
    "figure-9": Reading(
        "Follow the line from the open square, the initialization, to the other end, the trained network. The "
        "axes of a panel have scales of their own, so angles between the path and contour lines are not those in "
        "weight space.",
        "Principal components make many a path look smooth and curved, even a random walk: the share on the axes says "
        f"how much is seen, the shape alone proves little. {ONE_RUN}",
    ),
    "figure-10": Reading(
        "A falling curve means that the weights shrink, a rising one that they grow. Colours within a panel are "
        "the small and the large batch.",
        f"The norm says nothing about quality by itself. {ONE_RUN}",
    ),
    "figure-11": Reading(ALONG, f"{WEIGHTS_GROW} {ONE_LINE}"),
    "figure-12": Reading(f"{ALONG} The range is narrower than in the figure before.", f"{WEIGHTS_GROW} {ONE_LINE}"),
    "figure-13": Reading(ALONG, f"Normalization by layer does not remove the scale of single filters. {ONE_LINE}"),
    "figure-14": Reading(
        f"{MINIMIZERS} A hill between them is a barrier on the straight line.",
        "A barrier on the straight line does not mean that there is no low path around it, and widths depend on the "
        f"scale of the weights. {ONE_RUN}",
    ),
    "figure-15": Reading(f"{ALONG} Below, {FROM_ABOVE[0].lower()}{FROM_ABOVE[1:]}", f"{TWO_OF_MANY} {ONE_RUN}"),
    "figure-16": Reading(
        f"{ALONG} Lines that lie on each other mean that the direction drawn hardly matters.",
        "All directions are random: none of them was chosen to be the sharpest one, which may be far sharper.",
    ),
    "figure-17": Reading(
        f"{FROM_ABOVE} All panels show one network on planes of other directions.",
        "Where they look alike, random planes are alike; that does not make all planes so.",
    ),
    "figure-18": Reading(EPOCHS_READ, f"{NOT_FINAL} {ONE_RUN}"),
    "figure-19": Reading(EPOCHS_READ, f"{NOT_FINAL} {ONE_RUN}"),
    "scale-invariance": Reading(
        "Three curves in each panel belong to three sets of weights that compute the same function. Where they "
        "coincide, the plot did not change with the scale of the weights.",
        "Rescaled networks are not better or worse than the original: where curves differ, the picture alone does.",
    ),
    "projected-curvature": Reading(
        "On the left, histograms that lie on each other mean that a slice sees an average of all eigenvalues. On the "
        "right, a point below the line is a slice that bends down somewhere, so the loss is not convex there.",
        "The other way round nothing follows: a slice without negative curvature does not make the full space convex.",
    ),
    "sharpness": Reading(
        "Each point is a network, higher means a larger test error, and the arrow on each axis says where flatter or "
        "sharper is. ρ near 1 or −1 means that the measure orders networks as their errors do, near 0 that it does "
        "not.",
        "Networks here differ in architecture, optimizer and batch at once, so a correlation is no cause; few points "
        "give large correlations by chance.",
    ),
    "trainability": Reading(
        "Compare each mark with the dashed level, where initializations lie: a surface that stops being convex below "
        "that level may trap a training before it begins. Bars and lines of the last panel are runs.",
        f"A network that fails at these learning rates may train at others. {ONE_RUN}",
    ),
    "garipov-figure-1": Reading(THREE_POINTS, NOT_THE_STRAIGHT),
    "garipov-figure-1-test": Reading(THREE_POINTS, NOT_THE_STRAIGHT),
    "garipov-figure-2": Reading(
        "Read each curve from one network (left end) to the other (right end). A hump is a barrier; a flat line is a "
        "path along which every network is about as good as the ends.",
        f"{NOT_THE_STRAIGHT} {ONE_RUN}",
    ),
    "fge-cycles": Reading(
        "Each tooth of the upper row is a cycle; a circle marks weights that become a member of the ensemble. Below, "
        "see how the error rises and falls with the rate, and how far the weights move.",
        "A member alone need not be better than the network it began from: the tables say how the ensemble does.",
    ),
    "sse-trajectory": Reading(
        "Follow the line {start}through the numbered snapshots. A bright ridge between two dark regions is a barrier "
        "on this plane. Both axes have one scale, unless a panel says that it is stretched upward.",
        "The path leaves the plane, so the colour under it is not its own loss; only the first, the middle and the "
        "last snapshot lie in the plane.",
    ),
    "schedules": Reading(
        "The horizontal axis is training time in iterations, the vertical one the learning rate. Circles mark the "
        "weights that are kept.",
        "Schedules are settings: they show what was done, not how well it worked.",
    ),
    "ensemble-size": Reading(
        "Further right are more members; lower is better. A line that falls means that members make different "
        "mistakes.",
        "Methods at one number of members did not spend the same training: the large marks compare equal budgets. "
        f"{ONE_RUN}",
    ),
    "further-surfaces": Reading(FROM_ABOVE, f"{TWO_OF_MANY} {ONE_RUN}"),
    "further-convergence": Reading(EPOCHS_READ, f"{NOT_FINAL} {ONE_RUN}"),
    "further-lines": Reading(ALONG, ONE_LINE),
    "further-modes": Reading(THREE_POINTS, f"{NOT_THE_STRAIGHT} A path of training leaves the plane."),
}


def reading(
    identifier: str, results: Results, *, runs: Iterable[str], seen: Mapping[str, str] | None = None
) -> Reading:
    """Return how to read a figure and what not to conclude, with the data, epochs and seeds of its runs.

    Args:
        identifier: a key of `READINGS`.
        results: what was computed.
        runs: the runs that it shows.
        seen: sentences computed from what is drawn, by the name of their braces; absent ones are left out.

    Raises:
        KeyError: no such figure.
    """
    words, facts = READINGS[identifier], {**SEEN, **_facts(results, list(runs)), **(seen or {})}
    return Reading(words.how.format(**facts), words.limits.format(**facts))


def _facts(results: Results, runs: list[str]) -> dict[str, str]:
    done = [results.runs[run] for run in runs if run in results.runs]
    epochs = sorted({int(run.train["epochs"]) for run in done if run.train.get("epochs")})
    seeds = {run.info.get("seed") for run in done}
    data = sorted({results.title_of_data(run) for run in runs} - {""})
    return {
        "epochs": "for " + (f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}") + " epochs"
        if epochs
        else "(not run here)",
        "seeds": "one seed" if len(seeds) <= 1 else f"one of {len(seeds)} seeds",
        "data": " and ".join(data) or "no data yet",
    }
