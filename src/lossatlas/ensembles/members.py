"""Which epochs of a training give the members of an ensemble."""

from __future__ import annotations


def snapshot_epochs(epochs: int, snapshots: int) -> list[int]:
    """Return the epochs after which a training is at the end of each of `snapshots` equal cycles (Huang et al. 2017).

    Args:
        epochs: length of the training.
        snapshots: number of cycles, one member each.

    Returns:
        i * epochs / snapshots for i = 1, ..., snapshots; the last one is the end of the training.

    Raises:
        ValueError: the cycles are not of whole epochs, or there is none.
    """
    if snapshots < 1 or epochs < 1 or epochs % snapshots:
        raise ValueError(
            f"{epochs} epochs do not divide into {snapshots} cycles of whole epochs; "
            "take a number of cycles that divides the epochs"
        )
    length = epochs // snapshots
    return [i * length for i in range(1, snapshots + 1)]


def cycle_epochs(epochs: int, cycle: int) -> list[int]:
    """Return the epochs after which fast geometric ensembling takes a member (Garipov et al. 2018, section 4).

    The rate falls to its lowest value in the first half of a cycle and rises in the second: members are taken in the
    middle, after the step that was taken at the lowest rate.

    Args:
        epochs: length of the training in cycles; it may end within one.
        cycle: length of a cycle in epochs, an even number.

    Returns:
        cycle / 2, then every `cycle` epochs up to `epochs`.

    Raises:
        ValueError: no whole epoch ends in the middle of a cycle, or the training ends before the first middle.
    """
    if cycle < 2 or cycle % 2:
        raise ValueError(f"a cycle of {cycle} epochs has no epoch that ends in its middle; take an even number")
    if epochs < cycle // 2:
        raise ValueError(
            f"{epochs} epochs end before the middle of the first cycle of {cycle}; take at least {cycle // 2}"
        )
    return list(range(cycle // 2, epochs + 1, cycle))
