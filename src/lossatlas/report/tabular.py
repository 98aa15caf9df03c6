"""Tables of numbers and words, as CSV (plain numbers) and Markdown (as shown); lines as CSV."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

from lossatlas.results import VALUES, Line

Value = str | float | int | None


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the number behind it where there is one, and whether it stands out (not in CSV)."""

    text: str
    value: Value = None
    strong: bool = False

    @property
    def markdown(self) -> str:
        """The text as it stands in a Markdown table."""
        text = self.text.replace("|", "\\|")
        return f"**{text}**" if self.strong else text


@dataclass(frozen=True)
class Table:
    """A table with its caption; every row has one cell per column."""

    id: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        columns = [[row[i].value for row in self.rows] for i in range(len(self.columns))]
        return tuple(any(isinstance(value, int | float) for value in column) for column in columns)

    def csv(self) -> str:
        """Return the table as CSV; cells hold the number behind them, unrounded."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([cell.text if cell.value is None else cell.value for cell in row] for row in self.rows)
        return buffer.getvalue()

    def markdown(self) -> str:
        """Return the table as Markdown, below its title and above its caption."""
        rows = [[cell.markdown for cell in row] for row in self.rows]
        lines = [" | ".join(row) for row in [list(self.columns), ["---"] * len(self.columns), *rows]]
        body = "\n".join(f"| {line} |" for line in lines)
        return f"### {self.title}\n\n{body}\n\n{self.caption}\n"


def line_csv(line: Line) -> str:
    """Return the values along a line as CSV, a row per point; what is not finite is left empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("alpha", *VALUES))
    columns = [line.alpha, *(getattr(line, name) for name in VALUES)]
    writer.writerows(
        [float(value) if math.isfinite(value) else "" for value in row] for row in zip(*columns, strict=True)
    )
    return buffer.getvalue()
