"""Failures of a tracking server or database, told in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class TrackingError(RuntimeError):
    """Results could not be logged; the text names the tracking URI and the remedy."""


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database or its files raise into a TrackingError of one line."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # MLflow, SQLAlchemy, requests, drivers: no common class
        if not isinstance(error, ImportError | OSError) and type(error).__module__.split(".")[0] == "builtins":
            raise
        cause = re.sub(r"\s+", " ", str(error)).replace(uri, shown(uri))[:300]
        remedy = "start that server" if uri.startswith("http") else "check that file or server"
        text = f"cannot log to {shown(uri)} ({type(error).__name__}: {cause}); {remedy} or choose another tracking URI"
        raise TrackingError(text) from error


def shown(uri: str) -> str:
    """Return the URI without a password, also one that should have been quoted."""
    plain = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", uri)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", plain)
