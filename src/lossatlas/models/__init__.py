"""Networks of the three papers: one class per family, built by name; importing this does not import torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lossatlas.models.registry import FAMILIES, Family, Option, check_model, check_shape

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FAMILIES", "Family", "Option", "build", "check_model", "check_shape", "parameter_count"]


def build(
    family: str, *, num_classes: int = 10, input_size: int = 32, device: str = "cpu", **options: object
) -> nn.Module:
    """Return a network of `family` in training mode, without touching any global random state.

    Its weights are PyTorch's default initialization drawn from seed 0, the same in every process:
    call `lossatlas.models.initialization.initialize` for the weights of a run, or load a checkpoint.

    Args:
        family: A key of `FAMILIES`.
        num_classes: Number of logits.
        input_size: Height and width of the images in pixels, 8 or more.
        device: Where the weights live; on "meta" nothing is allocated or drawn.
        **options: The family's options; those left out take their defaults.

    Raises:
        ValueError: An unknown family or option, or an impossible value.
    """
    complete = check_model(family, options)
    check_shape(num_classes, input_size)

    import torch

    from lossatlas.models.initialization import initialize

    entry = FAMILIES[family]
    network_class = getattr(import_module(f"lossatlas.models.{entry.module}"), entry.class_name)
    with torch.device("meta"):
        model: nn.Module = network_class(num_classes=num_classes, input_size=input_size, **complete)
    if device != "meta":
        model.to_empty(device=device)
        initialize(model, scheme="torch", generator=torch.Generator().manual_seed(0))
    return model


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable numbers in `model` (biases and batch norm included, running statistics not)."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
