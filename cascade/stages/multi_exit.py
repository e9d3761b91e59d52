"""A network with exits as several stages that share their work."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from torch import nn

from cascade.errors import ConfigurationError
from cascade.stages.base import Runner
from cascade.stages.generator_exits import GeneratorExits
from cascade.stages.placed_module import PlacedModule, place
from cascade.stages.segment_exits import SegmentExit
from cascade.stages.stage import Stage, checked_classes, checked_name


def multi_exit(
    module: nn.Module,
    *,
    name: str | None = None,
    names: Sequence[str] | None = None,
    classes: Iterable[Hashable] | None = None,
    device: str = "auto",
    preprocess: Callable[[Any], Any] | None = None,
    version: str | None = None,
    n_exits: int | None = None,
) -> list[Stage]:
    """One stage per exit of a network; each continues from what the one before has computed, for the rows still unsure.

    Parameters
    ----------
    module : torch.nn.Module
        Either with ``segments`` and ``exits``, two ``ModuleList`` of one length: segment k maps the features of segment
        k - 1 (the input, for k = 0) to its own, and exit k maps these to logits (n, c). Or with a generator method
        ``forward_exits(x)`` that yields the logits of each exit and is sent, at each yield, the rows to keep: an int64
        tensor of indices into the rows it then holds, or None for all of them. Moved to ``device`` and put in eval mode.
    name : str, optional
        Exit k is named ``f"{name}/exit{k}"``. Default: the class name in lower case.
    names : sequence of str, optional
        The names of the exits, instead of ``name``.
    classes, device, preprocess, version
        As for `Stage`; with ``version``, exit k has the fingerprint ``f"{version}/exit{k}"``.
    n_exits : int, optional
        Number of yields of ``forward_exits``. Default: the module's attribute ``n_exits``.

    Returns
    -------
    list of Stage
        Each one but the first ``requires`` the one before.

    Raises
    ------
    ConfigurationError
        If the module has neither form, or an argument does not go with it.

    Notes
    -----
    An exit that is run without a carry computes everything from the input on. Segments must not work in place on
    their input, which is what the exit before has handed on.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.segments = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 8)])
    ...         self.exits = nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 3)])
    >>> first, second = multi_exit(Net(), device="cpu")
    >>> X = np.zeros((5, 4), dtype=np.float32)
    >>> logits, carry = first.run(X)
    >>> unsure = np.array([1, 4])
    >>> second.run(X[unsure], first.take(carry, unsure))[0].shape
    (2, 3)
    """
    if not isinstance(module, nn.Module):
        raise ConfigurationError(f"expected a torch.nn.Module with exits, got a {type(module).__name__}")
    prefix = checked_name(type(module).__name__.lower() if name is None else name)
    n = _count_exits(module, prefix, n_exits)
    exit_names = _exit_names(prefix, name, names, n)
    labels = checked_classes(classes, prefix)
    placed = place(module, prefix, device)
    return [
        Stage.from_runner(
            _runner(placed, k, n_exits=n, name=exit_name, classes=labels),
            name=exit_name,
            requires=exit_names[k - 1] if k else None,
            preprocess=preprocess,
            version=version and f"{version}/exit{k}",
        )
        for k, exit_name in enumerate(exit_names)
    ]


def _runner(placed: PlacedModule, k: int, *, n_exits: int, name: str, classes: tuple[Hashable, ...] | None) -> Runner:
    module: Any = placed.module
    if _has_segments(module):
        return SegmentExit(
            placed, k, segments=list(module.segments), exits=list(module.exits), name=name, classes=classes
        )
    return GeneratorExits(placed, k, n_exits=n_exits, name=name, classes=classes)


def _has_segments(module: nn.Module) -> bool:
    return hasattr(module, "segments") and hasattr(module, "exits")


def _count_exits(module: Any, name: str, n_exits: Any) -> int:
    if _has_segments(module):
        n_segments, n_heads = len(module.segments), len(module.exits)
        if n_segments != n_heads or n_heads == 0:
            raise ConfigurationError(
                f"network {name!r}: expected as many segments as exits, at least one of each, "
                f"got {n_segments} segments and {n_heads} exits"
            )
        if n_exits not in (None, n_heads):
            raise ConfigurationError(f"network {name!r}: n_exits={n_exits}, but the module has {n_heads} exits")
        return n_heads
    if not callable(getattr(module, "forward_exits", None)):
        raise ConfigurationError(
            f"network {name!r}: expected a module with segments and exits (two ModuleLists of one length) "
            f"or with a generator method forward_exits(x), got a {type(module).__name__} that has neither"
        )
    count = getattr(module, "n_exits", None) if n_exits is None else n_exits
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigurationError(
            f"network {name!r}: expected the number of yields of forward_exits, at least 1, as the attribute n_exits "
            f"or as n_exits=, got {count!r}"
        )
    return count


def _exit_names(prefix: str, name: str | None, names: Sequence[str] | None, n_exits: int) -> list[str]:
    if names is None:
        return [f"{prefix}/exit{k}" for k in range(n_exits)]
    if name is not None:
        raise ConfigurationError(f"give name= or names=, not both: got {name!r} and {list(names)!r}")
    checked = [checked_name(exit_name) for exit_name in names]
    if len(checked) != n_exits or len(set(checked)) != n_exits:
        raise ConfigurationError(
            f"network {prefix!r}: expected {n_exits} different names, one per exit, got {checked!r}"
        )
    return checked
