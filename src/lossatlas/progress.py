"""A progress bar with rate and time left, silent when the output is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str, total: int, *, done: int = 0, unit: str = "points") -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` steps on standard error; yields `advance(steps)`.

    Args:
        label: what is going on.
        total: number of steps.
        done: steps finished before, for example by a run that was killed; the rate does not count them.
        unit: what a step is.
    """
    if not sys.stderr.isatty():
        yield lambda _steps: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, total=total, initial=done, unit=f" {unit}", file=sys.stderr, dynamic_ncols=True) as bar:

        def advance(steps: int) -> None:
            bar.update(steps)

        yield advance
