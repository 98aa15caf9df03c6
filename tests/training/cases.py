"""Small data, networks and recipes."""

import torch
from torch import nn

from lossatlas.data import DataSet
from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe

CLASSES = 4


def make_data(train=26, test=10, *, size=8, seed=0):
    """Noise with a bright row that names the class; the first pixel is black."""
    draws = torch.Generator().manual_seed(seed)

    def split(n):
        labels = torch.arange(n) % CLASSES
        images = torch.randint(120, (n, 3, size, size), generator=draws).to(torch.uint8)
        images[torch.arange(n), :, labels + 1] += 100
        images[:, :, 0, 0] = 0
        return images, labels

    return DataSet(*split(train), *split(test), tuple("abcd"), "made")


def plain_network(seed=0, *, size=8):
    """A network without batch norm or dropout."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * size * size, CLASSES)
        )


def network(family, seed=0, scheme="garipov", **options):
    model = build(family, num_classes=CLASSES, input_size=8, **options)
    initialize(model, scheme=scheme, generator=generator(seed, "init"))
    return model


def recipe(**settings):
    return Recipe(**{"epochs": 2, "batch_size": 8, "lr": 0.05, "schedule": "constant", **settings})


def state_of(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class Kept(dict):
    """The weights that a training kept, by epoch."""

    def __call__(self, epoch, model):
        self[epoch] = state_of(model)


def run(model, data, settings, *, seed=3, keep=None, **options):
    """Train and return the history and the kept weights."""
    kept = Kept()
    history, _ = train(model, data, settings, seed=seed, keep=kept if keep is None else keep, **options)
    return history, kept


def same_states(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
