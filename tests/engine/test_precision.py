import math

import pytest
import torch
from torch import nn

from engine.cases import Plain, examples, made
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.precision import products
from lossatlas.models import build

PLACES = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cudnn.rnn,
    torch.backends.mkldnn.matmul,
    torch.backends.mkldnn.conv,
)


def flags():
    return [place.fp32_precision for place in PLACES]


@pytest.fixture
def loose():
    """A program that allows rounded products everywhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def network():
    return made(lambda: build("resnet", depth=8, base_width=4, num_classes=4, input_size=8)).float()


@pytest.mark.parametrize(("device", "mine", "tf32"), [("cpu", slice(3, 5), "ieee"), ("cuda", slice(0, 3), "tf32")])
def test_products_are_exact_or_rounded_as_asked_and_then_as_before(loose, device, mine, tf32):
    before, place = flags(), torch.device(device)
    with products(place, tf32=False):
        assert set(flags()[mine]) <= {"ieee", "none"}
    with products(place, tf32=True):
        assert set(flags()[mine]) <= {tf32, "none"}
    assert flags() == before
    with pytest.raises(RuntimeError, match="inside"), products(place, tf32=True):
        raise RuntimeError("inside")
    assert flags() == before


def test_without_a_device_all_products_are_set(loose):
    before = flags()
    with products(tf32=True):
        assert flags()[:3] == ["tf32"] * 3 and set(flags()[3:]) <= {"ieee", "none"}
    assert flags() == before


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_legacy_switches_can_be_read_afterwards(loose, device):
    with products(torch.device(device), tf32=False):
        pass
    assert torch.backends.cuda.matmul.allow_tf32 is True and torch.get_float32_matmul_precision() == "medium"


def test_float32_is_exact_whatever_is_allowed_elsewhere(loose):
    model = nn.Linear(192, 64)
    inputs, labels = torch.randn(32, 192, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4
    data, before = {"train": (inputs, labels)}, flags()
    found = Evaluator(model, data).measure("train")
    assert flags() == before
    exact = nn.functional.cross_entropy(model.double()(inputs.double()), labels)
    assert found.loss == pytest.approx(float(exact.detach()), rel=1e-6)


@pytest.mark.parametrize(("precision", "rtol"), [("bfloat16", 2e-2), ("float16", 3e-3)])
def test_half_precision_agrees_within_its_rounding(precision, rtol):
    model, data = network(), {"train": examples(16, dtype=torch.float32)}
    exact = Evaluator(model, data, batch_size=6).measure("train")
    evaluator = Evaluator(model, data, batch_size=6, precision=precision)
    found = evaluator.measure("train")
    # 8 and 11 bits of mantissa in each of ten layers, whose errors partly cancel
    assert found.loss == pytest.approx(exact.loss, rel=rtol) and found.loss != exact.loss
    assert evaluator.logits("train").dtype == torch.float32
    losses, right = evaluator.example_values("train")
    assert float(losses.mean()) == pytest.approx(found.loss, rel=1e-12)
    assert float(right.double().mean()) == found.accuracy


def test_tf32_on_a_cpu_is_float32():
    model, data = network(), {"train": examples(6, dtype=torch.float32)}
    assert Evaluator(model, data, precision="tf32").measure("train") == Evaluator(model, data).measure("train")


def test_a_graph_has_no_effect_on_a_cpu():
    model, data = network(), {"train": examples(6, dtype=torch.float32)}
    evaluator = Evaluator(model, data, graph=True)
    assert evaluator.measure("train") == Evaluator(model, data).measure("train") and evaluator.recorded == 0


def test_half_precision_keeps_nan_and_what_overflows():
    model, data = network(), {"train": examples(4, dtype=torch.float32)}
    evaluator = Evaluator(model, data, precision="float16")
    state = model.state_dict()
    far = {name: t * 1e4 if t.is_floating_point() else t for name, t in state.items()}
    assert not math.isfinite(evaluator(far)["train"].loss)
    none = {name: t * math.nan if t.is_floating_point() else t for name, t in state.items()}
    assert math.isnan(evaluator(none)["train"].loss)
    assert math.isfinite(evaluator(state)["train"].loss)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision = 'half' is unknown; allowed: float32, tf32, bfloat16, float16"):
        Evaluator(made(Plain), {"train": examples()}, precision="half")
