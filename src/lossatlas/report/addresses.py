"""Where the test errors of the eight minimizers of VGG-9 and ResNet-56 are published."""

from __future__ import annotations

from lossatlas.report.catalogue import variant_address
from lossatlas.report.targets import Address
from lossatlas.report.variants import VARIANTS


def minimizer_address(run: str) -> Address:
    """Return where Li et al. give the test error of the run that `run` stands for, at the published batch size.

    Args:
        run: a key of `VARIANTS`, such as `resnet56_adam_large_nowd`.

    Raises:
        KeyError: no such minimizer.
    """
    variant = VARIANTS[run]
    settings = {"optimizer": variant.optimizer, "weight_decay": variant.weight_decay, "batch_size": variant.batch_size}
    address = variant_address(variant.network, settings)
    if address is None:
        raise KeyError(f"no published test error for {run}; add it to targets.yaml with its source")
    return address
