"""What a training reports."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.results import History
from lossatlas.training.loop import train
from training.cases import CLASSES, Kept, make_data, network, plain_network, recipe, run, same_states, state_of

DATA = make_data()
ROWS = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")


def measured(model, images, labels):
    """Mean cross-entropy and error in float64, one example at a time."""
    inputs = normalize(images, NORMALIZATIONS["li"]).double()
    with torch.no_grad():
        logits = torch.cat([model(x[None]) for x in inputs])
    return functional.cross_entropy(logits, labels).item(), (logits.argmax(1) != labels).double().mean().item()


def norm(state):
    return math.sqrt(sum(float(t.double().square().sum()) for t in state.values() if t.dim() > 1))


@pytest.mark.parametrize(
    ("family", "options"),
    [("resnet", {"depth": 8, "base_width": 4}), ("wide_resnet", {"depth": 10, "widen": 1, "dropout": 0.3})],
)
def test_rows_are_those_of_the_clean_data_in_eval_mode(family, options):
    settings = recipe(epochs=3, checkpoints=range(4), augment={"padding": 1, "flip": True}, schedule="step_drops")
    history, kept = run(network(family, **options), DATA, settings)
    assert sorted(kept) == history.epoch.tolist() == [0, 1, 2, 3]
    assert same_states(kept[0], state_of(network(family, **options)))
    for epoch, state in kept.items():
        model = network(family, **options).double()
        model.load_state_dict(state)
        model.eval()
        for name, images, labels in (
            ("train", DATA.train_images, DATA.train_labels),
            ("test", DATA.test_images, DATA.test_labels),
        ):
            loss, error = measured(model, images, labels)
            assert getattr(history, f"{name}_loss")[epoch] == pytest.approx(loss, rel=2e-5)  # float32, folded
            assert getattr(history, f"{name}_error")[epoch] == pytest.approx(error, abs=1e-12)
        assert history.weight_norm[epoch] == pytest.approx(norm(state), rel=1e-6)


def test_the_weight_norm_leaves_out_biases_and_batch_norm():
    model = plain_network()
    history, _ = run(model, DATA, recipe(epochs=0))
    weights = [model[0].weight.detach(), model[3].weight.detach()]
    assert history.weight_norm[0] == pytest.approx(math.sqrt(sum(float(w.double().square().sum()) for w in weights)))


def test_weight_norms_where_pytorch_has_no_operations_on_lists(monkeypatch):
    histories = []
    for names in ([], [name for name in vars(torch) if name.startswith("_foreach_")]):
        for name in names:
            monkeypatch.delattr(torch, name)
        histories.append(run(plain_network(), DATA, recipe(epochs=1))[0])
    assert histories[1].step_weight_norm == pytest.approx(histories[0].step_weight_norm, rel=1e-6)
    assert len(histories[1].step_weight_norm) == 4


def test_steps_and_rows_agree():
    settings = recipe(epochs=4, schedule="cosine_cycles", schedule_options={"cycles": 2}, lr=0.1)
    history, kept = run(network("resnet", depth=8, base_width=4), DATA, settings)
    steps = 4  # batches of 8, 8, 8 and 2
    assert history.step.tolist() == list(range(1, 4 * steps + 1))
    assert history.step_weight_norm[steps - 1 :: steps].tolist() == history.weight_norm[1:].tolist()
    assert history.step_learning_rate[steps - 1 :: steps].tolist() == history.learning_rate[1:].tolist()
    assert math.isnan(history.learning_rate[0])
    expected = [0.05 * (math.cos(math.pi * (t % 8) / 8) + 1) for t in range(16)]
    assert history.step_learning_rate == pytest.approx(expected, rel=1e-12)
    assert len(set(history.step_weight_norm.tolist())) == 16


def test_the_optimizer_uses_the_recorded_rates():
    rates = []
    settings = recipe(epochs=2, schedule="fge_triangle", schedule_options={"low": 0.001, "cycle_epochs": 1})

    def note(optimizer, *_):
        rates.append(optimizer.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(note)
    try:
        history, _ = run(plain_network(), DATA, settings)
    finally:
        handle.remove()
    assert rates == history.step_learning_rate.tolist()


def test_no_epochs_publish_the_initialization(tmp_path):
    model = plain_network()
    before = state_of(model)
    history, kept = run(model, DATA, recipe(epochs=0), state=tmp_path / "state.pt")
    assert list(kept) == [0] and same_states(kept[0], before)
    assert history.status == "finished" and history.epoch.tolist() == [0] and len(history.step) == 0
    history.save(tmp_path / "history.h5")
    loaded = History.load(tmp_path / "history.h5")
    assert loaded.train_loss.tolist() == history.train_loss.tolist() and loaded.step_weight_norm.shape == (0,)


def test_history_survives_the_disk(tmp_path):
    history, _ = run(plain_network(), DATA, recipe(), provenance={"seed": 3})
    history.save(tmp_path / "history.h5")
    loaded = History.load(tmp_path / "history.h5")
    for name in ("epoch", "step", "step_learning_rate", "step_weight_norm", *ROWS):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(history, name))
        assert getattr(loaded, name).dtype == getattr(history, name).dtype
    assert (loaded.status, loaded.note, loaded.provenance) == ("finished", "", {"seed": 3})


def test_each_epoch_is_announced_and_a_resumed_run_repeats_them(tmp_path):
    first, second = [], []

    def interrupt(row):
        first.append(dict(row))
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    options = {"seed": 3, "keep": Kept(), "state": tmp_path / "state.pt"}
    with pytest.raises(KeyboardInterrupt):
        train(plain_network(), DATA, recipe(epochs=4), on_epoch=interrupt, **options)
    history, seconds = train(plain_network(), DATA, recipe(epochs=4), on_epoch=second.append, **options)
    assert [row["epoch"] for row in first] == [0, 1, 2]
    assert [row["epoch"] for row in second] == [0, 1, 2, 3, 4]
    assert repr(second[:3]) == repr(first)  # the wall seconds too; NaN equals itself in text
    assert [row["seconds"] for row in second] == seconds and all(value > 0 for value in seconds)
    for name in ROWS:
        np.testing.assert_array_equal([row[name] for row in second], getattr(history, name))
    third = []
    again, _ = train(plain_network(), DATA, recipe(epochs=4), on_epoch=third.append, **options)
    assert repr(third) == repr(second) and again.train_loss.tolist() == history.train_loss.tolist()


def test_wall_seconds_stay_out_of_the_history(tmp_path, monkeypatch):
    written = []
    for pace in (1.0, 1000.0):
        ticks = iter(range(1000))
        monkeypatch.setattr(
            "lossatlas.training.loop.time.perf_counter", lambda ticks=ticks, pace=pace: next(ticks) * pace
        )
        history, seconds = train(plain_network(), DATA, recipe(), seed=3, keep=Kept())
        assert seconds == [pace] * 3
        history.save(tmp_path / "history.h5")
        written.append((tmp_path / "history.h5").read_bytes())
    assert written[0] == written[1]


def test_global_random_state_is_untouched_and_unused():
    def trained(global_seed):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        _, kept = run(
            network("vgg", depth=16, variant="garipov", batch_norm=False, base_width=4), DATA, recipe(epochs=1)
        )
        assert torch.equal(torch.get_rng_state(), before)
        return kept[1]

    with torch.random.fork_rng([]):
        assert same_states(trained(0), trained(1))


def test_global_random_state_is_restored_after_an_error():
    model = network("wide_resnet", depth=10, widen=1, dropout=0.3)

    def refuse(module, inputs):
        if module.training:
            torch.rand(1)
            raise OSError("power")

    model.register_forward_pre_hook(refuse)
    before = torch.get_rng_state()
    with pytest.raises(OSError, match="power"):
        run(model, DATA, recipe())
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_differs_by_seed_epoch_and_step():
    draws = []
    model = plain_network()

    def draw(module, *_):
        if module.training:
            draws.append(torch.rand(1).item())

    model.register_forward_hook(draw)
    for seed in (0, 1):
        run(model, DATA, recipe(epochs=2), seed=seed)
    assert len(set(draws)) == len(draws) == 16


def test_the_seed_decides():
    def trained(seed):
        return run(
            network("resnet", depth=8, base_width=4), DATA, recipe(augment={"padding": 1, "flip": True}), seed=seed
        )[1][2]

    assert same_states(trained(0), trained(0))
    assert not same_states(trained(0), trained(1))


def test_it_learns():
    history, _ = run(network("resnet", depth=8, base_width=4), DATA, recipe(epochs=12, lr=0.1))
    assert history.train_error[0] >= 0.5 and history.train_error[-1] == 0.0
    assert history.train_loss[-1] < 0.2 < math.log(CLASSES) / 2 < history.train_loss[0]
