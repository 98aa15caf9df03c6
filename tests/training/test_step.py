"""Optimizer steps against hand-written ones."""

import pytest
import torch
from torch.nn import functional

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.randomness import generator
from lossatlas.training import loop
from lossatlas.training.precision import tensor_cores
from training.cases import make_data, network, plain_network, recipe, run, same_states, state_of
from waiting import Waiting

DATA = make_data()


def assert_close(one, other, *, atol=1e-7):
    # float32 rounding: sums in another order, and parts divided before, not after, they are added
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-5, atol=atol, msg=f"{name} differs")


def by_hand(model, optimizer, *, seed, epochs, batch_size):
    """Train on clean images with torch's own optimizer and the mean loss of each batch."""
    inputs = normalize(DATA.train_images, NORMALIZATIONS["li"])
    model.train()
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(inputs), generator=generator(seed, "order", epoch))
        for batch in order.split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[batch]), DATA.train_labels[batch]).backward()
            optimizer.step()
    return state_of(model)


@pytest.mark.parametrize("make", [plain_network, lambda: network("resnet", depth=8, base_width=4)])
@pytest.mark.parametrize(
    ("settings", "make_optimizer"),
    [
        (
            {"lr": 0.05, "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        ({"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0}, lambda p: torch.optim.SGD(p, lr=0.05)),
        (
            {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.01},
            lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
        ),
    ],
)
def test_training_is_what_torch_does(make, settings, make_optimizer):
    model, reference = make(), make()
    _, kept = run(model, DATA, recipe(epochs=2, batch_size=8, **settings), seed=5)
    # 26 examples: batches of 8, 8, 8 and 2
    expected = by_hand(reference, make_optimizer(reference.parameters()), seed=5, epochs=2, batch_size=8)
    # Adam divides small gradients by small numbers: 8 steps of 0.01 carry their rounding
    assert_close(kept[2], expected, atol=2e-6 if "optimizer" in settings else 1e-7)


def test_first_nesterov_step_in_closed_form():
    model = network("resnet", depth=8, base_width=4)
    start = state_of(model)
    grads = {}
    reference = network("resnet", depth=8, base_width=4).train()
    inputs = normalize(DATA.train_images, NORMALIZATIONS["li"])
    functional.cross_entropy(reference(inputs), DATA.train_labels).backward()
    grads = {name: p.grad for name, p in reference.named_parameters()}
    settings = recipe(epochs=1, batch_size=26, lr=0.1, momentum=0.9, weight_decay=0.5)
    _, kept = run(model, DATA, settings)
    for name, grad in grads.items():  # weights, biases and batch norm: all decay
        step = grad + 0.5 * start[name]
        torch.testing.assert_close(kept[1][name], start[name] - 0.1 * (step + 0.9 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 7, 8, 100])
@pytest.mark.parametrize("augment", [None, {"padding": 1, "flip": True}])
def test_micro_batches_make_the_step_of_the_whole_batch(micro_batch, augment):
    # batches of 7, 7, 7, 5 divide unequally: a mean over parts would differ
    settings = {"batch_size": 7, "weight_decay": 0.01, "augment": augment}
    _, whole = run(plain_network(), DATA, recipe(**settings))
    _, parts = run(plain_network(), DATA, recipe(micro_batch=micro_batch, **settings))
    assert_close(parts[2], whole[2])


def test_batch_norm_never_sees_one_example_alone():
    data = make_data(9, 4)  # batches of 4 and 5
    model = network("vgg", depth=9, base_width=4)  # its BatchNorm1d refuses a batch of one
    history, _ = run(model, data, recipe(batch_size=4, micro_batch=2))
    assert len(history.step) == 4


def test_augmentation_works_on_raw_pixels(monkeypatch):
    seen = []

    def augmented(images, moves):
        seen.append(("augment", images.dtype, len(images), moves.padding, moves.mirrored))
        return images

    def normalized(images, constants, **options):
        seen.append(("normalize", images.dtype, len(images), constants))
        return normalize(images, constants, **options)

    monkeypatch.setattr(loop, "moved", augmented)
    monkeypatch.setattr(loop, "normalize", normalized)
    options = {"padding": 2, "flip": False}
    settings = recipe(epochs=1, batch_size=13, micro_batch=7, augment=options, normalization="cifar")
    run(plain_network(), DATA, settings)
    cifar = NORMALIZATIONS["cifar"]
    clean = [("normalize", torch.uint8, 26, cifar), ("normalize", torch.uint8, 10, cifar)]  # for the evaluation
    step = [("augment", torch.uint8, 13, 2, None)] + [("normalize", torch.uint8, n, cifar) for n in (7, 6)]
    assert seen == clean + step + step


def test_each_epoch_draws_its_own_augmentation(monkeypatch):
    seeds, original = [], loop.draw_moves

    def drawn(sizes, draws, **options):
        seeds.append(draws.initial_seed())
        assert list(sizes) == [8, 8, 8, 2]
        return original(sizes, draws, **options)

    monkeypatch.setattr(loop, "draw_moves", drawn)
    for seed in (0, 1):
        run(plain_network(), DATA, recipe(epochs=2, augment={"padding": 1, "flip": True}), seed=seed)
    assert len(seeds) == len(set(seeds)) == 4


def test_a_batch_brings_no_numbers_to_the_device_and_fetches_none():
    normalize(DATA.train_images, NORMALIZATIONS["li"])  # whose constants stay on the device
    counts = []
    for batch_size in (13, 2):  # 2 and 13 batches
        model, settings = plain_network(), recipe(epochs=1, batch_size=batch_size, augment={"padding": 2, "flip": True})
        with Waiting() as waiting:
            run(model, DATA, settings)
        counts.append(waiting.count)
    assert counts[0] == counts[1] > 0


def test_a_network_in_eval_mode_is_trained_in_training_mode():
    model = network("resnet", depth=8, base_width=4)
    _, expected = run(network("resnet", depth=8, base_width=4), DATA, recipe())
    _, kept = run(model.eval(), DATA, recipe())
    assert same_states(kept[2], expected[2])
    assert kept[2]["bn1.num_batches_tracked"] == 8


def test_augmentation_changes_the_training_and_not_the_evaluation():
    clean, _ = run(plain_network(), DATA, recipe(epochs=1))
    moved, _ = run(plain_network(), DATA, recipe(epochs=1, augment={"padding": 2, "flip": True}))
    assert clean.train_loss[0] == moved.train_loss[0] and clean.train_loss[1] != moved.train_loss[1]


@pytest.mark.parametrize("compiled", [False, True])
def test_only_a_recipe_that_says_so_compiles(monkeypatch, compiled):
    calls = []

    def compiler(model, **options):
        calls.append(model)
        return model

    monkeypatch.setattr(torch, "compile", compiler)
    model = plain_network()
    history, _ = run(model, DATA, recipe(epochs=1, compile=compiled))
    assert calls == ([model] if compiled else [])
    assert len(history.step) == 4


def flags():
    return torch.backends.mkldnn.matmul.fp32_precision, torch.backends.mkldnn.conv.fp32_precision


def set_flags(products, convolutions):
    torch.backends.mkldnn.matmul.fp32_precision, torch.backends.mkldnn.conv.fp32_precision = products, convolutions


@pytest.fixture
def restored_flags():
    before = flags()
    yield
    set_flags(*before)


@pytest.mark.usefixtures("restored_flags")
@pytest.mark.parametrize("before", [("ieee", "bf16"), ("bf16", "ieee")])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_what_a_program_allows_elsewhere_rounds_no_training_and_stays_allowed(before, precision):
    set_flags(*before)
    seen = {True: set(), False: set()}
    model = plain_network()
    model.register_forward_hook(lambda module, *_: seen[module.training].add(flags()))
    run(model, DATA, recipe(epochs=1, precision=precision))
    assert seen == {True: {("ieee", "ieee")}, False: {("ieee", "ieee")}}
    assert flags() == before


@pytest.mark.parametrize("tf32", [True, False])
def test_tensor_cores_of_a_gpu_round_only_where_a_recipe_says_so(tf32):
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [place.fp32_precision for place in places]
    with tensor_cores("cuda", tf32=tf32):
        found = {place.fp32_precision for place in places}
    assert found == {"tf32"} if tf32 else found <= {"ieee", "none"}
    assert [place.fp32_precision for place in places] == before


@pytest.mark.usefixtures("restored_flags")
def test_what_a_program_allows_stays_allowed_after_an_error():
    set_flags("bf16", "ieee")

    def refuse(epoch, model):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run(plain_network(), DATA, recipe(), keep=refuse)
    assert flags() == ("bf16", "ieee")


def test_bf16_is_for_training_passes_only():
    seen = {True: set(), False: set()}
    model = plain_network()
    model.register_forward_hook(lambda module, _, out: seen[module.training].add(out.dtype))
    history, kept = run(model, DATA, recipe(epochs=1, precision="bf16"))
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {tensor.dtype for tensor in kept[1].values()} == {torch.float32}
    assert history.train_loss[1] < history.train_loss[0]
