"""Weights that must be those of one network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lossatlas.engine.evaluator import model_state


def require_state(model: nn.Module, state: Mapping[str, Tensor], *, called: str) -> None:
    """Refuse a state that is none of this network.

    Args:
        model: the network.
        state: parameters and buffers by name.
        called: what the error calls the state.

    Raises:
        ValueError: a name is absent or foreign, or a shape differs.
    """
    own = model_state(model)
    for name, tensor in own.items():
        if name not in state or state[name].shape != tensor.shape:
            found = tuple(state[name].shape) if name in state else "absent"
            raise ValueError(
                f"{called} is no point of this network: {name!r} has shape {tuple(tensor.shape)}, there {found}"
            )
    if foreign := [name for name in state if name not in own]:
        raise ValueError(f"{called} is no point of this network, which has no {foreign[0]!r}")
