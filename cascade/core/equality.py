"""Equality of values that hold arrays.

Pure.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def equal_by_value(a: Any, b: Any) -> bool:
    """Whether two values of one type are equal, arrays entry by entry and records field by field.

    A record that defines its own equality is asked; one that compares by identity is taken apart.

    Examples
    --------
    >>> equal_by_value(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    True
    >>> equal_by_value(np.zeros(1, np.float32), np.zeros(1))
    False
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if is_dataclass(a) and type(a).__eq__ is object.__eq__:
        return all(equal_by_value(getattr(a, part.name), getattr(b, part.name)) for part in fields(a))
    return bool(a == b)
