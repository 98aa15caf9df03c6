"""The ends of a curve, and its nodes as checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lossatlas.engine.statistics import Statistics
from lossatlas.landscape.curves import Curve, parameters_of, whole_state
from lossatlas.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lossatlas.stages.landscape import Subject


@dataclass(frozen=True)
class Ends:
    """The two runs that a curve joins: networks with the weights that they ended with."""

    run: Mapping[str, Any]
    models: tuple[nn.Module, nn.Module]
    epochs: tuple[int, int]

    @classmethod
    def of(cls, subject: Subject, end: Checkpoint) -> Ends:
        """Take the run of the start and the checkpoint of the end."""
        return cls(subject.run, (subject.model, end.build()), (subject.run["train"]["epochs"], end.epoch or 0))

    @property
    def start(self) -> nn.Module:
        """The network at the start."""
        return self.models[0]

    def straight(self, settings: Mapping[str, Any]) -> Curve:
        """Return the curve that a training begins at."""
        shape = {key: settings[key] for key in ("kind", "bends", "free_ends")}
        return Curve.straight(*map(parameters_of, self.models), **shape)

    def save(self, path: Path, state: Mapping[str, Tensor], *, epoch: int) -> None:
        """Write a state as a checkpoint of the runs' network."""
        network = {key: self.run[key] for key in ("family", "options", "num_classes", "input_size")}
        save_checkpoint(path, state, epoch=epoch, **network)

    def keep(self, path: Path, node: Mapping[str, Tensor], *, epoch: int) -> None:
        """Write a node in training, with the buffers of the start."""
        self.save(path, whole_state(self.start, node), epoch=epoch)

    def save_nodes(self, folder: Path, curve: Curve, refreshed: Statistics, *, epochs: int) -> None:
        """Write the nodes as `node_<i>.safetensors`.

        Ends that a training does not move are the runs' own weights, buffers included. All other nodes have statistics
        that belong to them, and other buffers of the start.

        Args:
            folder: where to.
            curve: the curve, its tensors on the CPU.
            refreshed: sets the statistics of batch normalization.
            epochs: of the curve's training.
        """
        last = len(curve.nodes) - 1
        for i, node in enumerate(curve.nodes):
            path = folder / f"node_{i}.safetensors"
            if i in curve.free:
                self.save(path, refreshed(whole_state(self.start, node)), epoch=epochs)
            else:
                side = i // last
                self.save(path, self.models[side].state_dict(), epoch=self.epochs[side])

    def save_kept(self, folder: Path, kept: Path, refreshed: Statistics) -> None:
        """Write the nodes that a training kept on the way, with statistics that belong to them."""
        for path in sorted(kept.glob("*.safetensors")):
            node = load_checkpoint(path)
            self.save(folder / path.name, refreshed(node.state), epoch=node.epoch or 0)
