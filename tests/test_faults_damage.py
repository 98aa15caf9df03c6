"""Every kind of file that is read back: cut short or with a bit flipped it is refused by name, or is the same."""

import random
from dataclasses import asdict

import numpy as np
import pytest
import torch

from fault_cases import Place
from lossatlas.closure import SourceChangedError
from lossatlas.data.cache import read_dataset, write_dataset
from lossatlas.data.dataset import DataSet
from lossatlas.ensembles.predictions import predict
from lossatlas.files import read_json
from lossatlas.landscape.coarse_corners import Corners
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.results import Line
from lossatlas.sealed import read_values, write_values
from lossatlas.stages.planned import require_planned, write_planned
from lossatlas.training.state import Progress, load_state, save_state

FLIPS, CUTS = 60, 12
CLASSES = 4


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, CLASSES))


def optimizer(network):
    made = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(2, 48)).sum().backward()
    made.step()
    return made


def images():
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 4, 4), generator=draws, dtype=torch.uint8)


class Checkpoint:
    def write(self, folder):
        path = folder / "a.safetensors"
        save_checkpoint(path, model(), family=None, options={}, num_classes=CLASSES, input_size=4, epoch=3)
        return path

    def read(self, path):
        found = load_checkpoint(path)
        return found.state, found.epoch, found.model, found.extra, found.weights_hash


class State:
    def write(self, folder):
        network = model()
        save_state(folder / "state.pt", network, optimizer(network), Progress(1, [[0.5] * 6], [0.1], [2.0], [1.0]))
        return folder / "state.pt"

    def read(self, path):
        network = model()
        stepped = optimizer(network)
        progress = asdict(load_state(path, network, stepped))
        return progress, network.state_dict(), list(stepped.state_dict()["state"].values())


class Result:
    def write(self, folder):
        values = {name: np.linspace(0, 1, 40) for name in Line.DIMS if name != "computed"}
        Line(alpha=np.linspace(0, 1, 40), computed=np.ones(40, bool), **values).save(folder / "line.h5")
        return folder / "line.h5"

    def read(self, path):
        return {name: repr(value) for name, value in vars(Line.load(path)).items()}


class OfDirection:
    def write(self, folder):
        random_direction(model().state_dict(), seed=0).save(folder / "direction.safetensors")
        return folder / "direction.safetensors"

    def read(self, path):
        found = vars(Direction.load(path))
        return {name: value for name, value in found.items() if name != "path"}


class DataCache:
    def write(self, folder):
        labels = torch.arange(6) % CLASSES
        names = tuple("abcd")
        dataset = DataSet(images(), labels, images() // 2, labels.clone(), classes=names, name="made")
        write_dataset(dataset, folder / "made.safetensors")
        return folder / "made.safetensors"

    def read(self, path):
        return vars(read_dataset(path))


class OfJournal:
    def write(self, folder):
        values = empty_values(("a", "b"), 9)
        for array in values.values():
            array[:] = np.linspace(-1, 1, 9)
        Journal(folder / "points.jsonl", "grid").append(range(9), values)
        return folder / "points.jsonl"

    def read(self, path):
        """Points that are there have their values; the last one may be lost, and is then computed again."""
        values, computed = empty_values(("a", "b"), 9), np.zeros(9, bool)
        Journal(path, "grid").restore(values, computed)
        for array in values.values():
            array[~computed] = np.linspace(-1, 1, 9)[~computed]
        return values


class Predictions:
    def ask(self, folder):
        inputs = images().float() / 255
        return predict(model(), [model().state_dict()], inputs, torch.zeros(6, dtype=torch.long), folder=folder)

    def write(self, folder):
        self.ask(folder)
        (path,) = folder.iterdir()
        return path

    def read(self, path):
        return self.ask(path.parent)


class OfCorners:
    def ask(self, folder):
        def measure(place, start, stop):
            return np.linspace(0, 1, 40).reshape(2, 20)[:, start:stop]

        return Corners(20, measure, folder=folder, stem="plane")[3, 4].values

    def write(self, folder):
        self.ask(folder)
        (path,) = folder.iterdir()
        return path

    def read(self, path):
        return self.ask(path.parent)


class Values:
    def write(self, folder):
        write_values(folder / "plan.json", {"steps": [4, 2], "predicted": 1 / 3, "note": None})
        return folder / "plan.json"

    def read(self, path):
        return read_values(path)


class Plan:
    """What DVC watches; it is compared with the settings and sources, word by word."""

    def write(self, folder):
        self.place = Place(folder / "place")
        return write_planned(self.place.workspace, self.place.params) / "line.json"

    def read(self, path):
        require_planned(self.place.workspace, self.place.params, "line")
        return read_json(path)


KINDS = {
    "checkpoint": Checkpoint,
    "training state": State,
    "result": Result,
    "direction": OfDirection,
    "data cache": DataCache,
    "journal": OfJournal,
    "predictions": Predictions,
    "corners of a sampled plane": OfCorners,
    "kept values": Values,
    "plan": Plan,
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def damages(whole, draws):
    """Contents with a bit flipped, near both ends and anywhere, and contents that were cut short."""
    last = len(whole) - 1
    places = [0, 1, 9, last - 1, last, *(draws.randrange(len(whole)) for _ in range(FLIPS))]
    for place in places:
        altered = bytearray(whole)
        altered[place] ^= 1 << draws.randrange(8)
        yield f"bit of byte {place}", bytes(altered)
    for length in (0, 1, last, *(draws.randrange(len(whole)) for _ in range(CUTS))):
        yield f"cut to {length}", whole[:length]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_by_name_or_changes_nothing(tmp_path, kind, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    case, draws = KINDS[kind](), random.Random(0)
    path = case.write(tmp_path)
    whole, expected = path.read_bytes(), case.read(path)
    refused, harmless = 0, []
    for what, content in damages(whole, draws):
        path.write_bytes(content)
        try:
            found = case.read(path)
        except (ValueError, SourceChangedError) as error:
            text = str(error)
            assert path.name in text or str(path.parent) in text, f"{what}: {text}"
            assert any(word in text for word in ("delete", "remove", "replace", "run", "write", "again")), (
                f"{what}: {text}"
            )
            refused += 1
        else:
            assert same(found, expected), what
            harmless.append(what)
    # blanks in a header, alignment in an archive, the last line of a journal
    assert refused > 20 and (kind in ("training state", "journal") or refused > 0.9 * (refused + len(harmless))), (
        harmless
    )
