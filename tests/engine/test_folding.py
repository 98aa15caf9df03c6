import pytest
import torch
from torch import nn
from torch.nn import functional

from engine import cases
from engine.cases import EXACT, examples, made
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.engine.folding import find_pairs, fold_state, folded_copy, scattered
from lossatlas.models import build

FOLDED = {
    "convolution without bias": cases.Plain,
    "convolution with bias": lambda: cases.Plain(bias=True),
    "linear with bias": cases.LinearNorm,
    "linear without bias": lambda: cases.LinearNorm(bias=False),
}
# folding any of these would give another function, or is not possible
UNFOLDED = {
    "normalization used twice": cases.NormTwice,
    "layer used twice": cases.LayerTwice,
    "output used twice": cases.OutputTwice,
    "weight read elsewhere": cases.WeightReadTwice,
    "module of two names": cases.ModuleTwoNames,
    "tied weights": cases.TiedWeights,
    "parametrized weights": cases.WeightNorm,
    "hook": cases.Hooked,
    "subclass": cases.Standardized,
    "normalization of another axis": cases.Sequence,
    "normalization of another axis of the same size": lambda: cases.Sequence(length=24, features=24),
    "normalization without weights": cases.Frozen,
    "not traceable": cases.Untraceable,
}


@pytest.mark.parametrize("name", FOLDED)
def test_foldable_networks_are_folded_exactly(name):
    model, (inputs, _) = made(FOLDED[name]).eval(), examples()
    pairs = find_pairs(model)
    assert len(pairs) == 1
    twin = folded_copy(model, pairs)
    twin.load_state_dict(fold_state(model_state(model), pairs))
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in twin.modules())
    torch.testing.assert_close(twin(inputs), model(inputs), **EXACT)


@pytest.mark.parametrize("fresh", [False, True], ids=["arbitrary statistics", "initialization"])
@pytest.mark.parametrize("name", UNFOLDED)
def test_networks_that_must_not_be_folded_are_not(name, fresh):
    model, data = made(UNFOLDED[name]), examples()
    if fresh:  # batch normalization is the identity but for eps: a wrong folding is nearly right here
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_parameters()
    evaluator = Evaluator(model, {"train": data})
    assert evaluator.folded == 0
    state = {
        n: t * 1.1 if t.is_floating_point() and "parametrizations" not in n else t
        for n, t in model.state_dict().items()
    }
    expected = cases.brute_force(model, state, *data)
    found = evaluator(state)["train"]
    assert found.loss == pytest.approx(expected[0], rel=1e-10)
    assert found.accuracy == expected[1]


@pytest.mark.parametrize(
    "write",
    [lambda h, x: h.__iadd__(x), lambda h, x: h.mul_(2.0), lambda h, x: h.relu_(), lambda h, x: h[:, :2].add_(x)],
)
def test_an_output_that_is_overwritten_before_its_normalization_is_not_folded(write):
    class Written(cases.Plain):
        def forward(self, x):
            h = self.conv(x)
            write(h, x[:, :2].mean(1, keepdim=True))
            return self.out(functional.relu(self.norm(h)).mean((2, 3)))

    model, data = made(Written).eval(), examples()
    assert find_pairs(model) == []
    expected = cases.brute_force(model, model.state_dict(), *data)
    assert Evaluator(model, {"train": data}).measure("train").loss == pytest.approx(expected[0], rel=1e-10)


def test_scattered_weights_are_not_zero():
    model = cases.Plain(bias=True)
    model.gain = nn.Parameter(torch.zeros(()))
    for parameter in (model.conv.weight, model.conv.bias, model.norm.weight):
        nn.init.zeros_(parameter)
    moved = scattered(model)
    assert all(tensor.all() for tensor in moved.parameters())
    assert moved.norm.running_var.gt(0).all()


def test_what_the_tracer_cannot_see_is_caught_by_comparing_outputs():
    class Secret(cases.Plain):
        def forward(self, x):
            # read past the module's attributes, so the tracer takes it for a constant
            weight = self.__dict__["_modules"]["conv"].__dict__["_parameters"]["weight"]
            return self.out(
                (self.norm(self.conv(x)) + nn.functional.conv2d(x, weight.detach(), padding=1)).mean((2, 3))
            )

    model, data = made(Secret), examples()
    model.norm.reset_parameters()
    assert len(find_pairs(model.eval())) == 1
    evaluator = Evaluator(model, {"train": data})
    state = {name: t * 1.1 if t.is_floating_point() else t for name, t in model.state_dict().items()}
    assert evaluator(state)["train"].loss == pytest.approx(cases.brute_force(model, state, *data)[0], rel=1e-10)
    assert evaluator.folded == 0


@pytest.mark.parametrize(
    ("family", "options", "folded"),
    [
        ("resnet", {"depth": 20}, 19 + 2),  # every convolution: 19 and two projections
        ("vgg", {"depth": 16, "variant": "garipov", "batch_norm": False}, 0),
        ("preresnet", {"depth": 20}, None),  # normalization comes first: some follow a convolution, some an addition
    ],
)
def test_number_of_folded_layers(family, options, folded):
    model = build(family, base_width=4, **options)
    found = Evaluator(model, {"train": examples(2, size=32, dtype=torch.float32)}).folded
    assert found == folded if folded is not None else 0 < found < 20


def test_folding_does_not_write_to_the_state():
    model = made(cases.Plain)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = dict(model.state_dict())
    fold_state(state, find_pairs(model.eval()))
    assert state.keys() == before.keys()
    assert all(torch.equal(state[name], before[name]) for name in before)
