import warnings

import pytest
import torch
from torch.nn import functional

from engine.cases import Plain, examples, made
from lossatlas.engine import evaluator as module
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.steps import Recorded, Sums


class Recorder:
    """Records as a CUDA graph is: what it took stays where it was, and the work is done again on it."""

    def __init__(self, fails=None):
        self.works, self.replays, self.fails = [], 0, fails

    def __call__(self, work):
        if self.fails:
            raise RuntimeError(self.fails)
        work()  # the passes before a recording
        self.works.append(work)

        def replay():
            self.replays += 1
            work()

        return replay


def evaluator(monkeypatch, recorder, **options):
    """An evaluator of a CPU that records with a stand-in for CUDA's graphs."""
    monkeypatch.setattr(module, "cuda_graph", lambda device: recorder)
    found = Evaluator(made(Plain), {"train": examples(7), "test": examples(3, seed=2)}, batch_size=3, **options)
    found._recorded = Recorded(found._sums.add, recorder)
    return found


def test_sums_are_those_of_all_batches_and_begin_anew():
    sums = Sums(lambda x: x, torch.device("cpu"))
    logits, labels = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 4
    for _ in range(2):
        sums.reset()
        for i in (0, 3, 6):
            sums.add(logits[i : i + 3], labels[i : i + 3])
        loss, right = sums.fetch()
        assert loss == pytest.approx(float(functional.cross_entropy(logits, labels, reduction="sum")), rel=1e-6)
        assert right == int((logits.argmax(1) == labels).sum())


def test_replayed_batches_give_the_same_values_at_every_point(monkeypatch):
    recorder = Recorder()
    found = evaluator(monkeypatch, recorder)
    plain = Evaluator(made(Plain), {"train": examples(7), "test": examples(3, seed=2)}, batch_size=3)
    for factor in (1.0, 0.5, 2.0):
        state = {n: t * factor if t.is_floating_point() else t for n, t in made(Plain).state_dict().items()}
        assert found(state) == plain(state)
    # batches of 3 and of 1, whatever data set they belong to
    assert found.recorded == len(recorder.works) == 2 and recorder.replays == 3 * 4


def test_a_recording_that_fails_says_why_and_changes_nothing(monkeypatch):
    found = evaluator(monkeypatch, Recorder(fails="operation not permitted when stream is capturing\nmore"))
    with pytest.warns(
        UserWarning, match=r"graph=True: .*one operation at a time .operation not permitted when stream is"
    ):
        first = found.measure("train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.measure("train") == first == evaluator(monkeypatch, Recorder()).measure("train")
    assert found.recorded == 0


def test_layouts_are_recorded_apart():
    seen = []
    recorded = Recorded(lambda x, y: seen.append(x.stride()), Recorder())
    maps = torch.zeros(2, 3, 4, 4)
    batches = [(maps, torch.zeros(2)), (maps.contiguous(memory_format=torch.channels_last), torch.zeros(2))]
    recorded.prepare(batches)
    recorded.prepare(batches)
    assert recorded.recordings == 2 and len(set(seen)) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_graphs_give_the_values_of_single_operations(precision):
    data = {"train": examples(7, dtype=torch.float32)}
    options = {"batch_size": 3, "device": "cuda", "precision": precision}
    graphs = Evaluator(made(Plain).float(), data, graph=True, **options)
    plain = Evaluator(made(Plain).float(), data, **options)
    for factor in (1.0, 0.5):
        state = {n: t * factor if t.is_floating_point() else t for n, t in made(Plain).float().state_dict().items()}
        a, b = graphs(state)["train"], plain(state)["train"]
        assert a.loss == pytest.approx(b.loss, rel=1e-4) and a.accuracy == b.accuracy
    assert graphs.recorded == 2
