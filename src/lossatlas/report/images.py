"""Figures as the report takes them: pictures with their words, from the index that the stage `figures` wrote."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.files import read_json
from lossatlas.report.made import Key


@dataclass(frozen=True)
class Image:
    """A figure of the report as it goes into the page."""

    id: str
    title: str
    caption: str
    paper: str
    source: str  # a data URI
    width: int
    height: int
    how: str = ""
    limits: str = ""
    alt: str = ""
    file: str = ""  # beside the report
    vector: str = ""  # beside the report
    stages: tuple[Key, ...] = ()


def read_images(folder: Path) -> list[Image]:
    """Read the index `figures.json` and the PNG files beside it."""
    return [_image(record, (folder / record["file"]).read_bytes()) for record in read_json(folder / "figures.json")]


def _image(record: Mapping[str, Any], content: bytes) -> Image:
    width, height = struct.unpack(">II", content[16:24])  # the PNG header
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    words = {name: str(record[name]) for name in ("id", "title", "caption", "paper", "how", "limits", "alt", "vector")}
    stages = tuple((str(kind), str(name)) for kind, name in record["stages"])
    return Image(source=source, width=width, height=height, file=f"figures/{record['file']}", stages=stages, **words)
