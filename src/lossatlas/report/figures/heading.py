"""What stands above and below a figure, apart from numbers."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.report.catalogue import PAPERS

LI = "li2018"


@dataclass(frozen=True)
class Words:
    """Title and first sentences of a figure, the paper's figure that it mirrors, and whether it shows test errors.

    Attributes:
        title: the headline.
        opening: what is shown.
        paper: the number of the paper's figure, empty if it mirrors none.
        errors: whether test errors stand beside published ones.
        source: the paper, a key of `targets.yaml`.
    """

    title: str
    opening: str
    paper: str = ""
    errors: bool = True
    source: str = LI

    @property
    def label(self) -> str:
        """The figure that is mirrored; with its paper where that is not Li et al."""
        return self.paper if self.source == LI or not self.paper else f"{self.paper} of {PAPERS[self.source]}"
