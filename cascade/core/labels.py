"""Labels and names as a caller hands them in, brought into one form.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from cascade.errors import DataError


def stage_names(names: Sequence[str] | None, k: int) -> tuple[str, ...]:
    """K names: the given ones, or ``stage0``, ``stage1``, ...

    Raises
    ------
    DataError
        If their number differs.
    """
    if names is None:
        return tuple(f"stage{j}" for j in range(k))
    if len(names) != k:
        raise DataError(f"expected {k} stage names, got {len(names)}: {list(names)}")
    return tuple(str(name) for name in names)


def as_list(labels: Any) -> list[Any]:
    """Labels as Python values, so that equal labels compare and hash equal."""
    values = (
        labels.tolist() if hasattr(labels, "tolist") else [y.item() if isinstance(y, np.generic) else y for y in labels]
    )
    if not isinstance(values, list) or any(isinstance(value, list) for value in values):
        raise DataError(f"expected one label per item, shape (n,), got {getattr(labels, 'shape', labels)}: flatten y")
    return values


def sorted_labels(labels: set[Any]) -> tuple[Hashable, ...]:
    """Labels in their own order; by their text where they cannot be compared."""
    try:
        return tuple(sorted(labels))
    except TypeError:
        return tuple(sorted(labels, key=repr))


def shortened(values: Sequence[Any]) -> str:
    """The first few values, for an error message."""
    shown = ", ".join(repr(value) for value in values[:6])
    return shown if len(values) <= 6 else f"{shown}, ... ({len(values)} in all)"
