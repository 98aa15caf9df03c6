"""The words below each figure, with the numbers that the results give."""

from __future__ import annotations

from collections.abc import Sequence

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.catalogue import FIGURE1, FIGURE4, FIGURE5, FIGURE6
from lossatlas.report.targets import Targets
from lossatlas.report.wording import DAGGER_NOTE, nats, published_error

SURFACES = {
    "figure-1": FIGURE1,
    "figure-4": FIGURE4,
    "figure-5": (*FIGURE5[0], *FIGURE5[1]),
    "figure-6": (*FIGURE6[0], *FIGURE6[1]),
}
CLEAN = "evaluated on clean images (no augmentation); epoch 0 is the initialization"
OPENINGS = {
    "figure-1": "Training loss of ResNet-56 with and without shortcuts; height is logarithmic.",
    "figure-4": "Training loss of a deep network without shortcuts and of a dense one; height is logarithmic.",
    "figure-5": "Training loss of ResNets of growing depth, with shortcuts (top) and without (bottom).",
    "figure-6": "Training loss of ResNet-56 with k times the filters, with shortcuts (top) and without (bottom).",
    "further-surfaces": "Training loss around the trained weights of networks that the figures above do not show.",
    "figure-18": f"Loss and error of VGG-9 against epochs, {CLEAN}.",
    "figure-19": f"Loss and error against epochs, {CLEAN}.",
    "further-convergence": "Loss and error against epochs of runs that the figures above do not show, by data set.",
    "further-lines": "Losses and accuracies along one direction: random, or from one run's weights to another's.",
}
FILTERS = "Axes are multiples of two random directions, normalized filter by filter."
ERRORS = "Percentages are test errors: ours, in parentheses the published one."


def caption(identifier: str, results: Results, targets: Targets, *, runs: Sequence[str], cap: float) -> str:
    """Return a figure's caption.

    Args:
        identifier: the figure's id.
        results: what was computed.
        targets: the published numbers.
        runs: the runs whose numbers the figure shows.
        cap: the loss above which all surfaces have one colour.
    """
    sentences = [OPENINGS[identifier]]
    shown = _surfaces(identifier, results)
    if identifier in SURFACES or identifier == "further-surfaces":
        cut = "are drawn at that height" if identifier in ("figure-1", "figure-4") else "have one colour"
        sentences += [FILTERS, f"One colour scale for every surface of this report; losses above {nats(cap)} {cut}."]
        sentences += _extent(shown)
    sentences.append(ERRORS)
    data = sorted({results.title_of_data(run) for run in runs} - {""})
    if data:
        sentences.append(f"Our data: {', '.join(data)}.")
    if any(number and number.mark for number in (published_error(run, results, targets) for run in runs)):
        sentences.append(DAGGER_NOTE)
    return " ".join(sentences)


def _surfaces(identifier: str, results: Results) -> list[Surface]:
    if identifier in SURFACES:
        return [surface for run in SURFACES[identifier] if (surface := results.plane_of(run))]
    return list(results.planes.values())


def _extent(shown: Sequence[Surface]) -> list[str]:
    planes = [item.plane for item in shown if item.plane]
    sizes = sorted({plane.train_loss.shape for plane in planes})
    samples = sorted(
        {int(item.info["samples_train"]) for item in shown if item.plane and item.info.get("samples_train")}
    )
    if not sizes:
        return []
    points = " or ".join(f"{nx} × {ny}" for nx, ny in sizes)
    images = " or ".join(f"{count:,}" for count in samples)
    return [f"{points} points, each the mean over {images} training images."] if samples else [f"{points} points."]
