"""A progress bar with rate and time left; silent when the output is not a terminal or LOSSATLAS_PROGRESS is `off`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    label: str, total: int, *, done: int = 0, unit: str = "points", row: int | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a bar of `total` steps on standard error; yields `advance(steps)`.

    Args:
        label: what is going on.
        total: number of steps.
        done: steps finished before, for example by a run that was killed; the rate does not count them.
        unit: what a step is.
        row: on which line below the cursor the bar is drawn, where other processes draw some too.
    """
    if not sys.stderr.isatty() or os.environ.get("LOSSATLAS_PROGRESS") == "off":
        yield lambda _steps: None
        return
    from tqdm import tqdm

    placed = {} if row is None else {"position": row, "leave": False}
    with tqdm(
        desc=label, total=total, initial=done, unit=f" {unit}", file=sys.stderr, dynamic_ncols=True, **placed
    ) as bar:

        def advance(steps: int) -> None:
            bar.update(steps)

        yield advance
