"""Operations on lists of tensors in one call, which spares small networks the time of many small calls.

PyTorch's optimizers use them as `torch._foreach_*`. The names are private: where one is missing, its tensors are taken
one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor


def foreach(name: str) -> Callable[..., Any]:
    """Return an operation on lists of tensors.

    Args:
        name: of the tensors' method, such as `mul` or `add_`. The operation takes a list of tensors, then the method's
            arguments, each a list as long or one value for all, and the method's keywords. Its results are a list
            (None or a list where the method works in place).

    Raises:
        AttributeError: tensors have no such method.
    """
    together: Callable[..., Any] | None = getattr(torch, f"_foreach_{name}", None)
    method = getattr(Tensor, name)

    def each(tensors: Sequence[Tensor], *others: Any, **options: Any) -> list[Any]:
        columns = [other if isinstance(other, Sequence) else repeat(other, len(tensors)) for other in others]
        return [method(*row, **options) for row in zip(tensors, *columns, strict=True)]

    return together or each
