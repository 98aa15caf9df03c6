"""Small networks, data, and a brute-force evaluation to compare with."""

import copy

import torch
from torch import nn
from torch.nn import functional

from lossatlas.engine.evaluator import Evaluator, model_state

CLASSES = 4

# Float64 sums over a few dozen layers in another order differ by about 1e-13.
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def examples(n=7, *, size=8, channels=3, seed=1, dtype=torch.float64):
    """Noise images and labels."""
    draws = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, channels, size, size, generator=draws, dtype=torch.float64)
    return inputs.to(dtype), torch.randint(0, CLASSES, (n,), generator=draws)


def lively(model, seed=2):
    """Give a network arbitrary weights and running statistics in float64, so that nothing cancels by chance."""
    draws = torch.Generator().manual_seed(seed)
    model = model.double()
    with torch.no_grad():
        for tensor in model.parameters():
            # large enough that the outputs of deep networks still depend on their first layers
            tensor.mul_(1.3).add_(0.05 * torch.randn(tensor.shape, generator=draws, dtype=tensor.dtype))
        for name, tensor in model.named_buffers():
            noise = torch.rand(tensor.shape, generator=draws, dtype=torch.float64)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + noise)
            elif name.endswith("running_mean"):
                tensor.copy_(noise - 0.5)
    return model


def made(build, seed=0):
    """Call `build` with fixed random numbers and return its network, with arbitrary weights in float64."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return lively(build())


def brute_force(model, state, inputs, labels):
    """Loss and accuracy of a restored copy, example by example."""
    twin = copy.deepcopy(model)
    twin.load_state_dict(state)
    twin.eval()
    losses, right = [], 0
    with torch.no_grad():
        for x, y in zip(inputs, labels, strict=True):
            logits = twin(x[None])[0]
            losses.append(float(torch.logsumexp(logits, 0) - logits[y]))
            right += int(logits.argmax()) == int(y)
    return sum(losses) / len(losses), right / len(losses)


def snapshot(model):
    """Everything about a network that an evaluation must leave alone."""
    return {
        "values": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "places": [tensor.data_ptr() for tensor in [*model.parameters(), *model.buffers()]],
        "versions": [tensor._version for tensor in [*model.parameters(), *model.buffers()]],
        "training": [module.training for module in model.modules()],
        "requires_grad": [tensor.requires_grad for tensor in model.parameters()],
        "modules": [(name, type(module)) for name, module in model.named_modules()],
        "random": torch.get_rng_state(),
    }


def same(before, after):
    """Whether two snapshots agree."""
    plain = [key for key in before if key not in ("values", "random")]
    return (
        all(before[key] == after[key] for key in plain)
        and all(torch.equal(before["values"][name], after["values"][name]) for name in before["values"])
        and torch.equal(before["random"], after["random"])
    )


def chunk(coordinates):
    """What a worker does: measure some points along a line, from nothing but its arguments."""
    model = made(Plain, seed=5).float()
    evaluator = Evaluator(model, {"train": examples(dtype=torch.float32)}, batch_size=3)
    state = model_state(model)
    return [
        evaluator({name: t * (1 + a) if t.is_floating_point() else t for name, t in state.items()})["train"].loss
        for a in coordinates
    ]


class Plain(nn.Module):
    """Convolution, normalization, linear."""

    def __init__(self, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(5)
        self.out = nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.out(functional.relu(self.norm(self.conv(x))).mean((2, 3)))


class NormTwice(Plain):
    def forward(self, x):
        h = self.norm(self.conv(x))
        return self.out(functional.relu(self.norm(h)).mean((2, 3)))


class LayerTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.out = nn.Linear(3, CLASSES)

    def forward(self, x):
        return self.out(self.norm(self.conv(torch.tanh(self.conv(x)))).mean((2, 3)))


class OutputTwice(Plain):
    def forward(self, x):
        h = self.conv(x)
        return self.out((self.norm(h) + h).mean((2, 3)))


class WeightReadTwice(Plain):
    """Folding the weight would change the second convolution; at an initialization by little only."""

    def forward(self, x):
        h = self.norm(self.conv(x)) + functional.conv2d(x, self.conv.weight, padding=1)
        return self.out(h.mean((2, 3)))


class ModuleTwoNames(Plain):
    def __init__(self):
        super().__init__()
        self.alias = self.conv


class TiedWeights(Plain):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return self.out((self.norm(self.conv(x)) + self.other(x)).mean((2, 3)))


class WeightNorm(Plain):
    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)


class Hooked(Plain):
    """A hook acts between the layer and its normalization, unseen by the tracer."""

    def __init__(self):
        super().__init__()
        self.conv.register_forward_hook(lambda _module, _inputs, output: output * output)


class Standardized(Plain):
    """A layer of a class of its own, which computes with other weights than it stores."""

    class Layer(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)

    def __init__(self):
        super().__init__()
        self.conv = Standardized.Layer(3, 5, 3, padding=1)


class Sequence(nn.Module):
    """A normalization that acts on another axis than the layer's features."""

    def __init__(self, length=24, features=8):
        super().__init__()
        self.features = features
        self.layer = nn.Linear(8, features)
        self.norm = nn.BatchNorm1d(length)
        self.out = nn.Linear(length * features, CLASSES)
        self.length = length

    def forward(self, x):
        return self.out(self.norm(self.layer(x.reshape(-1, self.length, 8))).flatten(1))


class Frozen(Plain):
    """A normalization without weights of its own, and one without running statistics."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(5, affine=False)


class LinearNorm(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.layer = nn.Linear(192, 6, bias=bias)
        self.norm = nn.BatchNorm1d(6, eps=0.1)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.out(torch.tanh(self.norm(self.layer(x.flatten(1)))))


class Untraceable(Plain):
    """Control flow that depends on the values."""

    def forward(self, x):
        h = self.norm(self.conv(x))
        if float(h.sum()) > 1e9:
            return self.out(h.amax((2, 3)))
        return self.out(functional.relu(h).mean((2, 3)))


class View(nn.Module):
    """`view` of feature maps, which channels-last order does not allow."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Linear(4 * 64, CLASSES)

    def forward(self, x):
        return self.out(self.norm(self.conv(x)).view(x.size(0), -1))


class Overwriting(Plain):
    """Writes into its inputs."""

    def forward(self, x):
        return super().forward(x.sub_(0.5))


class Block(nn.Module):
    """A residual block that ends as `join(network, h)` says, for maps `h`: for example with a sum and a ReLU."""

    def __init__(self, join, channels=4, **options):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.conv = nn.Conv2d(channels, channels, **{"kernel_size": 3, "padding": 1, **options})
        self.relu, self.relu_ = nn.ReLU(), nn.ReLU(inplace=True)
        self.out = nn.Linear(channels, CLASSES)
        self.join = join

    def forward(self, x):
        return self.out(self.join(self, torch.relu(self.stem(x))).mean((2, 3)))

    def body(self, h):
        return self.conv(torch.relu(self.conv(h)))
