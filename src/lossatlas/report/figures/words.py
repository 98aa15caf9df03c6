"""Titles of the figures and what each shows, in words."""

from __future__ import annotations

from lossatlas.report.figures.heading import Words
from lossatlas.report.figures.words_modes import MODES

CLEAN = "evaluated on clean images (no augmentation); epoch 0 is the initialization"
ERRORS = "Percentages are test errors: ours, in parentheses the published one."
BLUE_RED = "Loss is blue (left axis, logarithmic), accuracy red (right axis); training solid, test dashed."
FROM_LEFT = "From the left: SGD with the small and the large batch, Adam with the small and the large batch."
EIGHT = f"Top: no weight decay; bottom: with weight decay. {FROM_LEFT}"


FIGURES = {
    "figure-1": Words(
        "Loss surfaces of ResNet-56",
        "Training loss of ResNet-56 without and with shortcuts about the trained weights; height is logarithmic.",
        "Figure 1",
    ),
    "figure-1-linear": Words(
        "Loss surfaces of ResNet-56, linear height",
        "The surfaces of Figure 1 with the loss itself as height, which is cut off lower; colours stay logarithmic.",
        "Figure 1",
    ),
    "figure-2": Words(
        "From the small-batch to the large-batch minimizer",
        "VGG-9 trained by SGD with a small and a large batch, without weight decay (top) and with it (bottom). "
        "Left: the straight line through both minimizers, not normalized: 0 is the small batch, 1 the large one. "
        "Middle: norm of all weights of convolutions and linear layers; dotted lines mark drops of the learning "
        "rate. Right: the same weights after training, on a logarithmic axis so that the few large ones show. "
        + BLUE_RED,
        "Figure 2",
    ),
    "figure-3": Words(
        "Filter-normalized plots of VGG-9",
        "Four minimizers of VGG-9 by SGD along one random direction (top) and on a plane of two (bottom), "
        "normalized filter by filter, so that widths may be compared. " + BLUE_RED,
        "Figure 3",
    ),
    "figure-4": Words(
        "A chaotic and a smooth loss surface",
        "Training loss of a deep network without shortcuts and of a dense one; height is logarithmic.",
        "Figure 4",
    ),
    "figure-5": Words(
        "Loss surfaces and depth",
        "Training loss of ResNets of growing depth, with shortcuts (top) and without (bottom).",
        "Figure 5",
    ),
    "figure-6": Words(
        "Loss surfaces and width",
        "Training loss of ResNet-56 with k times the filters, with shortcuts (top) and without (bottom).",
        "Figure 6",
    ),
    "figure-7": Words(
        "Negative curvature in the full space",
        "Smallest over largest eigenvalue of the Hessian, as absolute values, at points of the planes of the other "
        "figures. Near 0 the loss is almost convex in all directions, not only in the two of the plane: at 0.01 it "
        "bends down at most one hundredth as strongly as up. At 1 it bends down as strongly as up. Colours are "
        "logarithmic.",
        "Figure 7",
    ),
    "figure-8": Words(
        "Why random directions do not show trajectories",
        "The path of training VGG-9 in planes that fail to show it. Left: two random directions capture almost none"
        " of the path. Middle: the direction from the end to the start against a random one, both axes on one "
        "scale: the path looks straight. Right: the same, enlarged along the random direction. Percentages on the "
        "axes are shares of the path's variation; those above the panels are test errors.",
        "Figure 8",
    ),
    "figure-9": Words(
        "Trajectories of VGG-9 in principal planes",
        "Paths of training VGG-9 over the training loss, by SGD (top) and Adam (bottom), on the plane of the first "
        "two principal components of all checkpoints, which holds the share of the path's variation given on the "
        "axes. Axes are distances in weight space; they differ between panels. Diamonds are the last checkpoints "
        "before the learning rate drops.",
        "Figure 9",
    ),
    "figure-10": Words(
        "Weight norms during training",
        "L2 norm of all weights of convolutions and linear layers of VGG-9 against epochs (top) and optimizer steps"
        " (bottom; a large batch takes fewer). Dotted lines mark drops of the learning rate.",
        "Figure 10",
    ),
    "figure-11": Words(
        "VGG-9 without normalization",
        f"Eight minimizers of VGG-9 along random directions that are not normalized. {EIGHT} {BLUE_RED}",
        "Figure 11",
    ),
    "figure-12": Words(
        "VGG-9 without normalization, enlarged",
        f"The directions of Figure 11 in a narrower range. {EIGHT} {BLUE_RED}",
        "Figure 12",
    ),
    "figure-13": Words(
        "VGG-9 with layer normalization",
        f"Eight minimizers of VGG-9 along random directions normalized layer by layer. {EIGHT} {BLUE_RED}",
        "Figure 13",
    ),
    "figure-14": Words(
        "ResNet-56 between small and large batch",
        "The straight line through the weights of ResNet-56 trained with a small batch (0) and with a large one (1), "
        "not normalized, by SGD and by Adam, each without and with weight decay. Loss is blue (left axis, "
        "logarithmic), error red (right axis); training solid, test dashed.",
        "Figure 14",
    ),
    "figure-15": Words(
        "ResNet-56 along one direction and on planes",
        "Eight minimizers of ResNet-56 along one random direction each (first two rows) and on planes of two (last "
        "two rows), normalized filter by filter. The first and third rows have no weight decay, the second and "
        f"fourth have it. {FROM_LEFT} {BLUE_RED}",
        "Figure 15",
    ),
    "figure-16": Words(
        "Ten directions",
        "Four minimizers of VGG-9 by SGD along several random directions each, normalized filter by filter, drawn "
        "over each other: the closer the lines, the less a plot depends on the direction drawn. " + BLUE_RED,
        "Figure 16",
    ),
    "figure-17": Words(
        "Several planes of one minimizer",
        "Training loss of ResNet-56 without shortcuts on planes of independent pairs of random directions.",
        "Figure 17",
    ),
    "figure-18": Words("Convergence of VGG-9", f"Loss and error of VGG-9 against epochs, {CLEAN}.", "Figure 18"),
    "figure-19": Words("Convergence of the architectures", f"Loss and error against epochs, {CLEAN}.", "Figure 19"),
    "scale-invariance": Words(
        "Rescaled weights",
        "Training loss along one random direction for weights as trained and rescaled so that the network computes "
        "the same: one layer times a factor and the next divided by it, and batch-normalized filters times a "
        "factor. Left: with filter normalization, which rescales directions like the weights; right: without it. VGG-9 "
        "has batch normalization between all its layers, so the first rescaling acts on a normalization's weight and "
        "bias and reaches the next layer through the ReLU; filter-normalized directions leave this weight and bias "
        "out.",
        errors=False,
    ),
    "projected-curvature": Words(
        "Curvatures of random slices",
        "A network small enough for its full Hessian. Left: curvatures measured along random directions, and "
        "predicted as averages of the eigenvalues with chi-square weights. Middle: every eigenvalue, the largest "
        "first. Right: the two principal curvatures of random planes; where the smaller is negative, the full space"
        " is not convex either.",
        errors=False,
    ),
    "sharpness": Words(
        "Sharpness and test error",
        "Measures of how sharp or flat a minimizer is, against test error, a point per run; ρ is Spearman's rank "
        "correlation. Directions are normalized filter by filter.",
        errors=False,
    ),
    "trainability": Words(
        "Initialization, depth and trainability",
        "Top left: training loss before the first step, by initialization and depth. Top right: the lowest loss at "
        "which the surface about the trained weights stops being convex. Both beside the level that the surfaces "
        "show dashed. Bottom left: cosines between gradients of different mini-batches: near 1 they agree, near 0 "
        "they are unrelated. Bottom right: the deepest networks, with shortcuts and without at several learning "
        "rates.",
        errors=True,
    ),
    **MODES,
    "further-surfaces": Words(
        "Further surfaces", "Training loss around the trained weights of networks that the figures above do not show."
    ),
    "further-convergence": Words(
        "Further convergence curves",
        "Loss and error against epochs of runs that the figures above do not show, by data set.",
    ),
    "further-lines": Words(
        "Further lines",
        f"Losses and accuracies along one direction: random, or from one run's weights to another's. {BLUE_RED}",
    ),
}
