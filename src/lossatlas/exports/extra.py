"""Libraries that only some formats need."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def needed(module: str, path: Path) -> Any:
    """Import a library of the extra `export`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ValueError(f"{path.suffix} files need {library} ({error}); pip install 'lossatlas[export]'") from error
