"""Networks must give the same outputs twice; where one does not, which of its modules is random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lossatlas.engine.identity import content


def refuse_training_mode(net: nn.Module) -> None:
    """Refuse a network that stays in training mode when it is told to evaluate.

    Raises:
        ValueError: `eval()` left a module in training mode; the text names it.
    """
    for name, module in net.named_modules():
        if module.training:
            raise ValueError(
                f"{_called(name, module)} stays in training mode after model.eval(); a loss surface needs evaluation "
                "mode, in which dropout is off and statistics stay: do not override train()"
            )


def disagreement(net: nn.Module, run: Callable[[], Any]) -> str:
    """Return the error about a network whose two passes differ; the text names the module that is random.

    Args:
        net: the network in eval mode.
        run: calls it, with the same inputs every time.
    """
    first, second = (_passes(net, run) for _ in range(2))
    culprits = [
        (name, module)
        for (name, module, given, found), (_, _, given_2, found_2) in zip(first, second, strict=False)
        if given == given_2 and found != found_2
    ]
    where = f"; the first module that does so is {_called(*culprits[0])}" if culprits else ""
    return (
        "two evaluations of the same weights on the same data differ; switch off what is random in eval mode "
        f"(functional dropout, sampling, augmentation inside the model){where}"
    )


def _called(name: str, module: nn.Module) -> str:
    return f"{name} ({type(module).__name__})" if name else f"the network itself ({type(module).__name__})"


def _passes(net: nn.Module, run: Callable[[], Any]) -> list[tuple[str, nn.Module, Any, Any]]:
    """Return each call of a module in the order in which they end, with hashes of what it took and gave."""
    calls: list[tuple[str, nn.Module, Any, Any]] = []
    open_: list[Any] = []
    handles = []
    for name, module in net.named_modules():

        def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
            open_.append(_hashes([args, kwargs]))

        def after(module: nn.Module, _args: Any, output: Any, name: str = name) -> None:
            calls.append((name, module, open_.pop(), _hashes(output)))

        handles += [module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(after)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _hashes(value: Any) -> Any:
    """Return hashes of the tensors in arguments or outputs."""
    if isinstance(value, Tensor):
        return content(value)
    if isinstance(value, list | tuple):
        return [_hashes(item) for item in value]
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", {})  # an object with outputs by name
    return [_hashes(item) for item in fields.values() if isinstance(item, Tensor | list | tuple | dict)]
