"""Networks trained in seconds on scikit-learn's digits, and the losses of single images at stored points."""

import functools

import numpy as np
import torch
from torch.nn import functional

from landscape.cases import golden_digits
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.points import displaced
from lossatlas.models import build

AXES = {"x": np.linspace(-0.5, 0.5, 18), "y": np.linspace(-0.4, 0.4, 12)}


@functools.cache
def digits8(n=1797):
    """The digits with their own 8x8 pixels, normalized."""
    images, labels = golden_digits(n)
    return images[:, :, ::4, ::4].contiguous(), labels


@functools.cache
def trained(shortcut=True, epochs=6):
    """A small residual network, with or without shortcuts, after some epochs on the digits."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build("resnet", depth=8, base_width=4, shortcut=shortcut, num_classes=10, input_size=8)
        images, labels = digits8()
        steps = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        for _ in range(epochs):
            for batch in torch.randperm(len(labels)).split(64):
                steps.zero_grad()
                functional.cross_entropy(model(images[batch]), labels[batch]).backward()
                steps.step()
    return model.eval()


def table(values):
    """What measures the values of images at places, from an array (nx, ny, images) or (nx, ny, 2, images)."""
    values = np.asarray(values, dtype=float)
    stored = values if values.ndim == 4 else np.stack([values, np.zeros_like(values)], axis=2)
    asked = []

    def measure(place, start, stop):
        asked.append((place, start, stop))
        return stored[place][:, start:stop].copy()

    return measure, asked


@functools.cache
def every_image(shortcut=True):
    """Losses and correctness of all digits at all points of `AXES` about a trained network, (nx, ny, 2, images)."""
    model = trained(shortcut)
    state, names = model.state_dict(), [name for name, _ in model.named_parameters()]
    axes = [random_direction(state, seed=0, stream=f"direction_{a}", parameters=names) for a in "xy"]
    evaluator = Evaluator(model, {"train": digits8()})

    def values(place):
        evaluator.load(displaced(state, axes, place))
        return np.stack([found.double().numpy() for found in evaluator.example_values("train")])

    return np.array([[values((a, b)) for b in AXES["y"]] for a in AXES["x"]])
