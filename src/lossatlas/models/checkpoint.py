"""Checkpoints: weights with the network they belong to, in one byte-stable file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from lossatlas.files import canonical_json, sha256_bytes, sha256_json, write_bytes
from lossatlas.models import build, check_model, check_shape
from lossatlas.models.tensorfile import is_safetensors, read_safetensors, read_torch
from lossatlas.models.weights import state_of, weights_hash

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint", "weights_hash"]

# The metadata has this one key only: the order of several is not stable from process to process.
KEY = "lossatlas"
FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Weights read from a file.

    Attributes:
        path: The file.
        state: All parameters and buffers by name, on the CPU.
        model: `family`, `options` (complete), `num_classes` and `input_size`; None if nobody said which network it is.
        epoch: Number of epochs behind the weights; None if the file does not say.
        weights_hash: SHA-256 of the weights, see `lossatlas.models.weights.weights_hash`.
        extra: What else was stored with them.
    """

    path: Path
    state: dict[str, Tensor]
    model: dict[str, Any] | None
    epoch: int | None
    weights_hash: str
    extra: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """Return the network with copies of these weights, in evaluation mode.

        Raises:
            ValueError: The network is not known, or its names and shapes are not those of the weights.
        """
        if self.model is None:
            raise ValueError(
                f"checkpoint {self.path} does not say which network it is; "
                "name it: load_checkpoint(path, family='resnet', depth=20)"
            )
        sizes = {key: self.model[key] for key in ("num_classes", "input_size")}
        model = build(self.model["family"], device="meta", **sizes, **self.model["options"])
        try:
            model.load_state_dict({name: tensor.clone() for name, tensor in self.state.items()}, assign=True)
        except RuntimeError as error:
            first = str(error).partition("\n\t")[2].partition("\n")[0]
            raise ValueError(
                f"checkpoint {self.path} does not fit the network {canonical_json(self.model)}; "
                f"name the family and options it was trained with ({first:.120} ...)"
            ) from error
        return model.eval()


def save_checkpoint(
    path: Path,
    model_or_state: nn.Module | Mapping[str, Tensor],
    *,
    family: str | None,
    options: Mapping[str, object],
    num_classes: int,
    input_size: int,
    epoch: int,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """Write weights and what they belong to atomically, the same bytes for the same content; return their hash.

    Args:
        path: The safetensors file to write or replace.
        model_or_state: A network, or its parameters and buffers by name.
        family: A key of `FAMILIES`, or None for a network of your own (then `options` and sizes are not stored).
        options: The family's options; those left out are stored with their defaults.
        num_classes: Number of logits.
        input_size: Height and width of the images in pixels.
        epoch: Number of epochs behind the weights, 0 at initialization.
        extra: Plain values to keep with them; NaN and infinities become null.

    Raises:
        ValueError: An impossible option, size or epoch, or a state that holds something else than tensors.
    """
    if type(epoch) is not int or epoch < 0:
        raise ValueError(f"epoch = {epoch!r} is impossible; allowed: an int of 0 or more")
    model = None if family is None else _description(family, options, num_classes, input_size)
    state = state_of(model_or_state)
    digest = weights_hash(state)
    about = {"format": FORMAT, "model": model, "epoch": epoch, "weights_hash": digest, "extra": dict(extra or {})}
    sealed = {**about, "seal": _seal(about, state)}
    write_bytes(path, save(state, metadata={KEY: canonical_json(sealed)}))
    return digest


def _seal(about: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Return the hash of what `weights_hash` leaves out: the description, and tensors such as counters of batches."""
    others = {name: tensor for name, tensor in state.items() if not tensor.is_floating_point()}
    contents = {name: [str(t.dtype), list(t.shape), sha256_bytes(t.numpy().tobytes())] for name, t in others.items()}
    return sha256_json([about, contents])


def load_checkpoint(
    path: Path,
    *,
    family: str | None = None,
    num_classes: int | None = None,
    input_size: int | None = None,
    **options: object,
) -> Checkpoint:
    """Read a checkpoint of ours, or a torch or safetensors file of someone else's.

    Our files say which network they hold; what is named here as well must agree. For others the caller names it, with
    10 classes and 32 pixels unless said; without `family` the weights can be read but not built.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, foreign, or holds another network than named.
    """
    path = Path(path)
    if family is None and options:
        raise ValueError(f"options {', '.join(options)} need a family: load_checkpoint(path, family=..., ...)")
    about: dict[str, Any] = {"model": None, "epoch": None, "extra": {}}
    if is_safetensors(path):
        state, metadata = read_safetensors(path)
        about = _about(path, metadata) or about
    else:
        state, about["epoch"] = read_torch(path)
    digest = weights_hash(state)
    if about.get("weights_hash", digest) != digest:
        raise ValueError(
            f"checkpoint {path} is damaged (its weights do not have the hash stored with them); replace it"
        )
    if about.pop("seal", None) != (_seal(about, state) if "weights_hash" in about else None):
        raise ValueError(
            f"checkpoint {path} is damaged (its description does not have the hash stored with it); replace it"
        )
    model = about["model"]
    if model is not None:
        named = {"family": family, "num_classes": num_classes, "input_size": input_size, **options}
        _agree(path, model, {key: value for key, value in named.items() if value is not None})
    elif family is not None:
        sizes = (10 if num_classes is None else num_classes, 32 if input_size is None else input_size)
        model = _description(family, options, *sizes)
    return Checkpoint(path, state, model, about["epoch"], digest, about["extra"])


def _description(family: str, options: Mapping[str, object], num_classes: int, input_size: int) -> dict[str, Any]:
    check_shape(num_classes, input_size)
    complete = check_model(family, options)
    return {"family": family, "options": complete, "num_classes": num_classes, "input_size": input_size}


def _about(path: Path, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    if KEY not in metadata:
        if any('"weights_hash"' in text for text in metadata.values()):  # ours, with a damaged key
            raise ValueError(f"checkpoint {path} is damaged (its description has another name); replace it")
        return None
    try:
        about = json.loads(metadata[KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"checkpoint {path} is damaged (its description is not JSON: {error}); replace it") from error
    keys = {"format", "model", "epoch", "weights_hash", "extra", "seal"}
    if isinstance(about, dict) and about.get("format") == FORMAT and (lacking := keys - about.keys()):
        raise ValueError(f"checkpoint {path} is damaged (its description has no {min(lacking)}); replace it")
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else about
        raise ValueError(
            f"checkpoint {path} has format {found!r}; this program reads {FORMAT}: use the one that wrote it"
        )
    return about


def _agree(path: Path, model: Mapping[str, Any], named: Mapping[str, object]) -> None:
    stored = {**model, **model["options"]}
    for key, value in named.items():
        if stored.get(key) != value:
            raise ValueError(
                f"checkpoint {path} holds a network with {key} = {stored.get(key)!r}, but {key} = {value!r} was named; "
                "leave it out or name another file"
            )
