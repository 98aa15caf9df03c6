import math
import operator
import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine import cases
from engine.cases import CLASSES, Block, examples, made, same, snapshot
from lossatlas.engine import fusing
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.models import build
from models.conftest import SMALL

# float32 sums of a few dozen layers; the losses are at most this far apart, relatively
CLOSE = 1e-5


def prepared(build_it, seed=0):
    return made(build_it, seed).float().eval()


def pair(model, data, **options):
    """The evaluator with and without fusing."""
    return [Evaluator(model, {"train": data}, fuse=fuse, **options) for fuse in (True, False)]


def moved(model, factor):
    return {n: t * factor if t.is_floating_point() else t for n, t in model_state(model).items()}


def agree(found, expected):
    """Whether two measurements agree to rounding, and exactly in what is not finite."""
    if math.isfinite(expected.loss):
        return abs(found.loss - expected.loss) <= CLOSE * expected.loss and found.accuracy == expected.accuracy
    return repr(found) == repr(expected)


def check(model, count, *, size=8, factors=(1.0, 0.7, -1.3, 3.0)):
    """Fused and unfused evaluation agree at several points, and `count` convolutions are fused."""
    fast, slow = pair(model, examples(7, size=size, dtype=torch.float32), batch_size=3)
    assert (fast.fused, slow.fused) == (count, 0)
    for factor in factors:
        point = moved(model, factor)
        assert agree(fast(point)["train"], slow(point)["train"])


# the pre-activation families have few convolutions that a ReLU or an addition follows
COUNTS = {
    "vgg9": 7,
    "vgg19": 16,
    "vgg16-garipov": 13,
    "vgg16-garipov-bn": 13,
    "resnet14": 13,
    "resnet14-noshort": 13,
    "resnet8-wide": 7,
    "preresnet20": 18,
    "wrn16-2": 12,
    "wrn10-2-dropout": 3,
    "densenet121": 58,
    "densenet16": 0,
    "densenet22-bottleneck": 9,
}


@pytest.mark.parametrize("name", SMALL)
def test_every_family(name):
    family, options = SMALL[name]
    check(prepared(lambda: build(family, num_classes=CLASSES, input_size=8, **options)), COUNTS[name])


@pytest.mark.parametrize("depth", [20, 56])
def test_papers_networks_on_images_of_their_size(depth):
    model = prepared(lambda: build("resnet", depth=depth, num_classes=CLASSES))
    check(model, depth - 1, size=32, factors=(1.0, 0.9))  # all but the linear layer; projections take the addition


JOINS = {
    "torch.relu": lambda net, h: torch.relu(net.body(h) + h),
    "other order": lambda net, h: torch.relu(h + net.body(h)),
    "module": lambda net, h: net.relu(net.body(h) + h),
    "module in place": lambda net, h: net.relu_(net.body(h) + h),
    "function": lambda net, h: functional.relu(net.body(h) + h),
    "function in place": lambda net, h: functional.relu(net.body(h) + h, inplace=True),
    "method": lambda net, h: (net.body(h) + h).relu(),
    "method in place": lambda net, h: (net.body(h) + h).relu_(),
    "torch.relu_": lambda net, h: torch.relu_(net.body(h) + h),
    "torch.add": lambda net, h: torch.relu(torch.add(net.body(h), h)),
    "method add": lambda net, h: torch.relu(net.body(h).add(h)),
    "method add in place": lambda net, h: torch.relu(net.body(h).add_(h)),
    "no relu": lambda net, h: net.body(h) + h,
    "pool": lambda net, h: functional.max_pool2d(torch.relu(net.body(h) + h), 2),
    "used twice": lambda net, h: torch.relu(net.conv(torch.tanh(torch.relu(net.conv(h)))) + h),
}


@pytest.mark.parametrize("name", [name for name in JOINS if name != "used twice"])
def test_ways_to_write_an_addition_and_a_relu(name):
    check(prepared(lambda: Block(JOINS[name])), 3)


def test_iadd():
    def join(net, h):
        out = net.body(h)
        out += h
        return net.relu_(out)

    check(prepared(lambda: Block(join)), 3)


@pytest.mark.parametrize(
    "options", [{"bias": False}, {"kernel_size": 1, "padding": 0}, {"kernel_size": 5, "padding": 2}]
)
def test_convolutions_of_other_kinds(options):
    check(prepared(lambda: Block(JOINS["torch.relu"], **options)), 3)


def test_a_strided_branch_and_a_module_used_twice():
    def join(net, h):
        h = torch.relu(net.conv(torch.relu(net.conv(h))))
        return torch.relu(net.conv(h) + net.conv(h))

    check(prepared(lambda: Block(join, stride=2)), 4)


def overwritten_between(net, h):
    """The first convolution reads `h`, the first sum may overwrite it, and the first convolution's sum comes later."""
    early = net.conv(h)
    new = torch.relu(net.body(h) + h)
    return torch.relu(early + new)


def later_view(net, h):
    flat = h.flatten(2)
    out = torch.relu(net.body(h) + h)
    return out + flat.view(out.shape)


# what may be fused in these is less than it seems
PARTLY = {
    "output of a convolution used twice": (
        lambda net, h: torch.relu(c := net.conv(h)) + c.mean((2, 3), keepdim=True),
        1,
    ),
    "other term needed later": (lambda net, h: torch.relu(net.body(h) + h) + h, 2),
    "view of the other term needed later": (later_view, 2),
    "broadcast addition": (lambda net, h: torch.relu(net.body(h) + h.mean((2, 3), keepdim=True)), 2),
    "addition broadcast over the batch": (lambda net, h: torch.relu(net.body(h) + h.mean(0, keepdim=True)), 2),
    "sum with itself": (lambda net, h: torch.relu((c := net.conv(h)) + c), 1),
    "sum with a number": (lambda net, h: torch.relu(net.body(h) + 1.0), 2),
    "input overwritten before the addition": (overwritten_between, 3),
    "sum with its own input": (lambda net, h: torch.relu(net.conv(h) + h), 1),
    "several sums": (lambda net, h: torch.relu(net.conv(h) + net.conv(torch.relu(net.conv(h))) + h), 3),
}


@pytest.mark.parametrize("name", PARTLY)
def test_only_what_is_exact_is_fused(name):
    join, count = PARTLY[name]
    check(prepared(lambda: Block(join)), count)


@pytest.mark.parametrize(
    "options",
    [{"groups": 2}, {"dilation": 2, "padding": 2}, {"padding_mode": "reflect"}, {"padding": "same"}],
    ids=lambda options: next(iter(options)),
)
def test_unusual_convolutions_are_left_alone(options):
    check(prepared(lambda: Block(JOINS["torch.relu"], **options)), 1)


def iadd_that_another_name_sees(net, h):
    old = h
    h += net.body(h)
    return torch.relu(net.conv(h) + old)


def iadd_after_a_view(net, h):
    old = h.flatten(2)
    h += net.body(h)
    return torch.relu(net.conv(h) + old.view(h.shape))


def concatenation_into_a_map(net, h):
    g = net.conv(h)
    torch.cat([g[:, :2], g[:, :2]], 1, out=h)
    return torch.relu(net.conv(torch.relu(g)) + h)


def relu_in_place_without_its_name(net, h):
    g = net.conv(h)
    functional.relu(g, True)
    return torch.relu(net.conv(h) + g)


def assigned(net, h):
    g = net.conv(h)
    h[:, 0] = 0.0
    return torch.relu(g + h)


def scaled(net, h):
    old = h
    h *= 2.0
    return torch.relu(net.body(h) + old)


def in_place_on_a_shared_map(net, h):
    g = net.conv(h)
    torch.relu_(h)
    h.sub_(0.5)
    return torch.relu(g + h)


def in_place_relu_that_others_see(net, h):
    g = net.stem(h[:, :3])
    other = torch.relu_(g)
    return net.conv(other) + g


UNFUSED = {
    "unknown operation": lambda: Block(JOINS["used twice"]),
    "alpha": lambda: Block(lambda net, h: torch.add(net.body(h), h, alpha=2)),
    "out": lambda: Block(lambda net, h: torch.add(c := net.body(h), h, out=c)),
    "maximum of signed maps": lambda: Block(lambda net, h: torch.relu(functional.max_pool2d(net.conv(h), 2))),
    "iadd that another name sees": lambda: Block(iadd_that_another_name_sees),
    "iadd after a view": lambda: Block(iadd_after_a_view),
    "concatenation into a map": lambda: Block(concatenation_into_a_map),
    "relu in place without its name": lambda: Block(relu_in_place_without_its_name),
    "assignment": lambda: Block(assigned),
    "scaled in place": lambda: Block(scaled),
    "in place on a map that is used again": lambda: Block(in_place_on_a_shared_map),
    "in-place relu that others see": lambda: Block(in_place_relu_that_others_see),
    "hook": cases.Hooked,
    "subclass": cases.Standardized,
    "parametrization": cases.WeightNorm,
    "weight read elsewhere": cases.WeightReadTwice,
    "not traceable": cases.Untraceable,
    "inputs overwritten": cases.Overwriting,
}


@pytest.mark.parametrize("name", UNFUSED)
def test_networks_that_are_not_fused(name):
    model = prepared(UNFUSED[name])
    points = (1.0,) if name == "parametrization" else (1.0, 0.7, -1.3)
    check(model, 0, factors=points)


@pytest.mark.parametrize("name", [name for name, build_it in UNFUSED.items() if build_it not in vars(cases).values()])
def test_what_is_not_known_is_seen_in_the_graph(name):
    """Nothing relies on the comparison of outputs."""
    assert fusing.fuse(prepared(UNFUSED[name]), examples(dtype=torch.float32)[0]) is None


class Branching(Block):
    """A block with a branch that starts as nothing: what is fused wrongly around it shows at other weights only."""

    def __init__(self, join):
        super().__init__(join)
        self.branch = nn.Conv2d(4, 4, 3, padding=1, bias=False)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("method", [False, True])
def test_in_place_additions_of_what_starts_as_nothing(method, channels_last):
    def join(net, h):
        old = h
        if method:
            h.add_(net.branch(h))
        else:
            h += net.branch(h)
        return torch.relu(net.conv(h) + old)

    model = prepared(lambda: Branching(join))
    point = {n: t.clone() for n, t in model_state(model).items()}
    nn.init.zeros_(model.branch.weight)
    fast, slow = pair(model, examples(dtype=torch.float32), channels_last=channels_last)
    assert fast.fused == 0
    assert agree(fast(point)["train"], slow(point)["train"])


IN_PLACE_BETWEEN = {
    "add": lambda net, h: h.add_(net.relu(net.branch(h))),
    "iadd": lambda net, h: operator.iadd(h, net.relu(net.branch(h))),
    "fused add": lambda net, h: h.add_(net.branch(h)),
    "relu": lambda net, h: h.relu_(),
    "relu module": lambda net, h: net.relu_(h),
    "relu function": lambda net, h: functional.relu(h, inplace=True),
    "unnamed": lambda net, h: functional.relu(h, True),
}


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("name", IN_PLACE_BETWEEN)
def test_convolutions_read_their_input_before_it_is_overwritten(name, channels_last):
    def join(net, h):
        h = net.stem2(h) + 0.1
        early = net.conv(h)
        new = IN_PLACE_BETWEEN[name](net, h)
        return torch.relu(early + new)

    class Longer(Branching):
        def __init__(self):
            super().__init__(join)
            self.stem2 = nn.Conv2d(4, 4, 3, padding=1)

    model, data = prepared(Longer), examples(5, dtype=torch.float32)
    order = torch.channels_last if channels_last else torch.contiguous_format
    model, inputs = model.to(memory_format=order), data[0].contiguous(memory_format=order)
    fused = fusing.fuse(model, inputs)  # without the comparison that the evaluator makes besides
    assert fused
    torch.testing.assert_close(fused(inputs), model(inputs), rtol=1e-5, atol=1e-6)
    fast, slow = pair(model, data, channels_last=channels_last)
    assert fast.fused == fused.convolutions
    assert agree(fast.measure("train"), slow.measure("train"))


@pytest.mark.parametrize("bias", [None, 0.0, 1.0, [0.0, 0.0, -5.0, -5.0], [3.0, 3.0, -5.0, 3.0]])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_classes_that_tie_stay_tied(bias, scale):
    model = prepared(lambda: Block(lambda net, h: torch.relu(net.conv(h))))
    data = examples(40, dtype=torch.float32)
    with torch.no_grad():
        model.conv.bias.fill_(-100.0 * scale)  # no feature is above zero
        model.conv.weight.mul_(scale)
        # what leaks through is negative, and would speak for the second class
        model.out.weight.copy_(torch.tensor([1.0, -1.0, 0.5, 0.2])[:, None].expand(4, 4))
        if bias is None:
            model.out.bias = None
        else:
            model.out.bias.copy_(torch.tensor(bias).expand(4))
    fast, slow = pair(model, data, batch_size=16)
    assert fast.fused == 2
    assert fast.measure("train") == slow.measure("train")
    assert torch.equal(fast.example_values("train")[1], slow.example_values("train")[1])
    assert torch.equal(fast.logits("train").argmax(1), torch.zeros(40, dtype=torch.int64))


def test_which_logits_are_decided():
    rows = torch.tensor([[1.0, 0.0], [-3.0, 2.0]])
    assert fusing.decided(rows)
    assert fusing.decided(rows[:, :1])
    for row in ([1.0, 1.0], [0.0, 1e-29], [2.0**-70, 0.0], [math.nan, 1.0], [math.inf, 1.0], [-math.inf, 1.0]):
        assert not fusing.decided(torch.cat([rows, torch.tensor([row])]))
    assert fusing.decided(1e-9 * rows)
    assert fusing.decided(torch.tensor([[1.0, 1.0 + 2.0**-23]]))
    assert not fusing.decided(torch.tensor([[0.0, 2.0**-30, -(2.0**40)]]))


def test_hooks_on_any_module_are_called():
    model, seen = prepared(lambda: Block(JOINS["torch.relu"])), []
    model.out.register_forward_hook(lambda *_: seen.append(1))
    evaluator = Evaluator(model, {"train": examples(dtype=torch.float32)})
    seen.clear()
    evaluator.measure("train")
    assert (evaluator.fused, len(seen)) == (0, 1)


def test_a_forward_of_the_instance_is_called():
    model = prepared(lambda: Block(JOINS["torch.relu"]))
    model.forward = lambda x: x.mean((2, 3))[:, [0, 1, 2, 0]]
    assert Evaluator(model, {"train": examples(dtype=torch.float32)}).fused == 0


def test_other_precisions_are_not_fused():
    for dtype in (torch.float64, torch.bfloat16):
        model = prepared(lambda: Block(JOINS["torch.relu"])).to(dtype)
        assert Evaluator(model, {"train": examples(dtype=dtype)}).fused == 0


@pytest.mark.parametrize("channels_last", [True, False])
def test_order_of_memory(channels_last):
    model, data = prepared(lambda: build("resnet", depth=8, num_classes=CLASSES)), examples(dtype=torch.float32)
    fast, slow = pair(model, data, channels_last=channels_last)
    assert fast.fused == 7
    assert agree(fast.measure("train"), slow.measure("train"))


def test_maps_that_cannot_be_channels_last():
    class Viewed(cases.View):
        def forward(self, x):
            return self.out(torch.relu(self.norm(self.conv(x))).view(x.size(0), -1))

    check(prepared(Viewed), 1)


STEPS = {
    "convolution": lambda net, x, y: net.conv(x),
    "convolution, relu": lambda net, x, y: torch.relu(net.conv(x)),
    "relu": lambda net, x, y: torch.relu(x),
    "convolution, sum": lambda net, x, y: net.conv(x) + y,
    "block": lambda net, x, y: torch.relu(net.body(x) + y),
    "sum": lambda net, x, y: x + y,
    "relu in place": lambda net, x, y: net.relu_(x),
    "sum in place": lambda net, x, y: x.add_(y + 0),
    "iadd": lambda net, x, y: operator.iadd(x, y + 0),
    "view": lambda net, x, y: x.flatten(2).view(x.shape),
}
WEIGHTS = [3, 3, 2, 4, 3, 3, 0.5, 0.5, 0.5, 0.5]


def random_network(seed):
    """A network that uses, overwrites, views and adds its maps in random order."""
    draws = random.Random(seed)
    steps = draws.choices(list(STEPS), WEIGHTS, k=draws.randint(3, 9))
    places = [(draws.random(), draws.random()) for _ in steps]

    def join(net, h):
        maps = [h]
        for step, (a, b) in zip(steps, places, strict=True):
            # mostly the newest ones, so that something depends on all
            x, y = (maps[-1 - int(len(maps) * u * u)] for u in (a, b))
            maps.append(STEPS[step](net, x, y))
        return maps[-1] + maps[-2]

    return prepared(lambda: Block(join))


def deviation(seed):
    """How far fused outputs are from the network's, and how many convolutions were fused; None without fusing."""
    # in this order oneDNN really writes in place; in the other it copies
    model = random_network(seed).to(memory_format=torch.channels_last)
    inputs = examples(5, dtype=torch.float32)[0].contiguous(memory_format=torch.channels_last)
    fused = fusing.fuse(model, inputs)
    if fused is None:
        return None
    expected = model(inputs)
    return float((fused(inputs) - expected).detach().abs().max() / expected.detach().abs().max()), fused.convolutions


def test_random_networks():
    found = [result for result in map(deviation, range(150)) if result]
    # rounding of ten layers; nothing here relies on the comparison that the evaluator makes besides
    assert max(error for error, _ in found) < 1e-5
    assert len(found) > 75
    assert sum(count for _, count in found) > 2.5 * len(found)


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_that_overflow(seed):
    model = random_network(seed)
    fast, slow = pair(model, examples(5, dtype=torch.float32), batch_size=2)
    for factor in (1.0, 1e5, 1e10, 1e20, -1e30):
        point = moved(model, factor)
        assert agree(fast(point)["train"], slow(point)["train"])


@pytest.mark.parametrize("name", ["vgg9", "resnet14", "resnet14-noshort", "preresnet20", "densenet22-bottleneck"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_give_what_the_network_gives(name, value):
    family, options = SMALL[name]
    model = prepared(lambda: build(family, num_classes=CLASSES, input_size=8, **options))
    fast, slow = pair(model, examples(dtype=torch.float32), batch_size=3)
    for key in list(model_state(model))[:: max(1, len(model_state(model)) // 12)]:
        point = {n: t.clone() for n, t in model_state(model).items()}
        if point[key].is_floating_point():
            point[key].view(-1)[0] = value
            assert agree(fast(point)["train"], slow(point)["train"])


@pytest.mark.parametrize("name", ["resnet14", "resnet14-noshort", "vgg9", "preresnet20"])
def test_overflow_inside_gives_what_the_network_gives(name):
    family, options = SMALL[name]
    model = prepared(lambda: build(family, num_classes=CLASSES, input_size=8, **options))
    fast, slow = pair(model, examples(dtype=torch.float32), batch_size=3)
    seen = set()
    for power in range(0, 39, 3):
        for sign in (1, -1):
            point = moved(model, sign * 10.0**power)
            expected = slow(point)["train"]
            seen.add(math.isfinite(expected.loss))
            assert agree(fast(point)["train"], expected)
    assert seen == {True, False}


@pytest.mark.parametrize("join", [JOINS["torch.relu"], JOINS["pool"], lambda net, h: torch.relu(net.conv(h))])
def test_minus_infinity_before_a_relu_counts_as_nothing(join):
    model = prepared(lambda: Block(join))
    fast, slow = pair(model, examples(dtype=torch.float32))
    point = {n: t.clone() for n, t in model_state(model).items()}
    point["stem.weight"][:2], point["stem.bias"][:2] = 0.0, -math.inf
    point["conv.weight"].abs_()  # every map behind it would be -inf too, and vanish in the next ReLU
    expected = slow(point)["train"]
    assert math.isfinite(expected.loss)
    assert fast(point)["train"] == expected


def test_negative_running_variance_gives_nan():
    model = prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES))
    fast, _ = pair(model, examples(dtype=torch.float32))
    point = {n: -t if n.endswith("layer2.0.bn1.running_var") else t for n, t in model_state(model).items()}
    assert math.isnan(fast(point)["train"].loss)
    assert math.isfinite(fast(model_state(model))["train"].loss)


@pytest.mark.parametrize("name", ["_convolution_pointwise", "_convolution_pointwise_"])
def test_without_the_private_operators_nothing_is_fused(name, monkeypatch):
    model, data = (
        prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES)),
        examples(dtype=torch.float32),
    )
    expected = Evaluator(model, {"train": data}, fuse=False).measure("train")
    getattr(torch.ops.mkldnn, name)  # cached as an attribute
    monkeypatch.setattr(torch.ops.mkldnn, name, None)
    evaluator = Evaluator(model, {"train": data})
    assert evaluator.fused == 0
    assert evaluator.measure("train") == expected


def test_operators_that_compute_something_else_are_not_used(monkeypatch):
    model, data = (
        prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES)),
        examples(dtype=torch.float32),
    )
    expected = Evaluator(model, {"train": data}, fuse=False).measure("train")
    monkeypatch.setattr(functional, "leaky_relu_", torch.abs_)
    monkeypatch.setattr(fusing, "SLOPE", 0.25)
    evaluator = Evaluator(model, {"train": data})
    assert evaluator.fused == 0
    assert evaluator.measure("train") == expected


def test_images_of_another_size_are_evaluated_too():
    model = prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES))
    data = {"train": examples(4, dtype=torch.float32), "test": examples(5, size=12, dtype=torch.float32)}
    fast, slow = (Evaluator(model, data, fuse=fuse) for fuse in (True, False))
    assert fast.fused == 7
    for name in data:
        assert agree(fast.measure(name), slow.measure(name))


def test_same_bytes_again():
    model, data = (
        prepared(lambda: build("resnet", depth=14, base_width=8, num_classes=CLASSES)),
        examples(9, dtype=torch.float32),
    )
    first, second = (Evaluator(model, {"train": data}, batch_size=4) for _ in range(2))
    start, away = moved(model, 1.0), moved(model, 1e20)
    expected = first(start), first.logits("train")
    first(away)
    for evaluator in (first, second):
        assert evaluator(start) == expected[0]
        assert torch.equal(evaluator.logits("train"), expected[1])


def test_the_model_is_untouched():
    model = made(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES)).float().train()
    before = snapshot(model)
    evaluator = Evaluator(model, {"train": examples(dtype=torch.float32)}, batch_size=2)
    assert evaluator.fused == 7
    evaluator(moved(model, 2.0))
    evaluator(moved(model, 1e30))
    assert same(before, snapshot(model))


def test_inputs_are_untouched():
    class InPlace(Block):
        def forward(self, x):
            return super().forward(x.relu_())

    model, data = prepared(lambda: InPlace(JOINS["torch.relu"])), examples(dtype=torch.float32)
    before = data[0].clone()
    check(model, 0)
    assert Evaluator(model, {"train": data}).fused == 0
    assert torch.equal(data[0], before)


def test_inputs_that_are_added_are_untouched():
    class Added(nn.Sequential):
        def forward(self, x):
            return self[2](torch.relu(self[1](torch.relu(self[0](x))) + x).mean((2, 3)))

    def network():
        return Added(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)), nn.Linear(3, CLASSES))

    model, data = prepared(network), examples(dtype=torch.float32)
    data = (data[0].contiguous(memory_format=torch.channels_last), data[1])
    before = data[0].clone()
    evaluator = Evaluator(model, {"train": data})
    expected = evaluator.measure("train")
    assert evaluator.fused == 1
    assert torch.equal(data[0], before)
    assert evaluator.measure("train") == expected


def test_values_of_examples_are_those_of_the_whole():
    model, data = (
        prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES)),
        examples(7, dtype=torch.float32),
    )
    evaluator = Evaluator(model, {"train": data}, batch_size=3)
    losses, right = evaluator.example_values("train")
    whole = evaluator.measure("train")
    assert float(losses.mean()) == pytest.approx(whole.loss, rel=1e-14)
    assert float(right.double().mean()) == whole.accuracy


def test_hessians_are_taken_of_the_network_itself():
    model = prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES))
    operator = HessianOperator(model, examples(dtype=torch.float32))
    assert operator.fused == 0
    assert operator.gradient().isfinite().all()


def test_a_lone_example_is_enough():
    model = prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES))
    fast, slow = pair(model, examples(1, dtype=torch.float32), batch_size=1)
    assert fast.fused == 7
    assert agree(fast.measure("train"), slow.measure("train"))


def test_half_precision_goes_through_the_network_itself():
    model = prepared(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES))
    fast, slow = pair(model, examples(dtype=torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fast.measure("train") == slow.measure("train")
