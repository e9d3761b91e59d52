"""Labels and names as a caller hands them in, brought into one form.

Pure. A label is any hashable value; NumPy, torch and pandas are recognised by what they can do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from cascade.core.records import IntArray
from cascade.errors import DataError, LabelMismatch


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


def as_list(labels: Any) -> list[Hashable]:
    """Labels as Python values, so that equal labels compare and hash equal.

    Parameters
    ----------
    labels : array, tensor, series or sequence of n labels

    Raises
    ------
    DataError
        If there is not one hashable label for each item, or one is NaN.

    Examples
    --------
    >>> as_list(np.array([2, 0]))
    [2, 0]
    """
    shape = getattr(labels, "shape", None)
    if (shape is not None and len(shape) != 1) or isinstance(labels, (str, bytes, Mapping, Set)):
        raise _not_one_each(labels)
    try:
        values = [_plain(label) for label in (labels.tolist() if hasattr(labels, "tolist") else labels)]
        distinct = dict.fromkeys(values)
    except TypeError as error:
        raise _not_one_each(labels) from error
    if any(isinstance(label, float) and np.isnan(label) for label in distinct):
        raise DataError("expected a label for every item, got NaN among them: drop the items without a label")
    return values


def as_rows(labels: Any) -> tuple[list[Hashable], tuple[int, int]]:
    """A table of labels as Python values, row after row, and its shape (n, K).

    Parameters
    ----------
    labels : array, tensor, frame or sequence of n rows with K labels each

    Raises
    ------
    DataError
        If the rows differ in length, or an entry is no label.
    """
    table = labels.to_numpy() if hasattr(labels, "to_numpy") else labels
    shape = getattr(table, "shape", None)
    if shape is not None:
        if len(shape) != 2:
            raise DataError(f"expected a table of labels of shape (n, K), got {tuple(shape)}")
        return as_list(table.reshape(-1)), (int(shape[0]), int(shape[1]))
    given = list(table) if hasattr(table, "__iter__") else [table]
    if any(isinstance(row, str) or not hasattr(row, "__iter__") for row in given):
        raise DataError(f"expected a table of labels of shape (n, K), a row for each item, got {shortened(given)}")
    rows = [as_list(row) for row in given]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise DataError(f"expected a table of labels of shape (n, K), got rows of the lengths {lengths}")
    return [label for row in rows for label in row], (len(rows), lengths[0] if lengths else 0)


def sorted_labels(labels: Iterable[Any]) -> tuple[Hashable, ...]:
    """The distinct labels in their own order; by their text where they cannot be compared.

    Examples
    --------
    >>> sorted_labels(["b", "a", "b"])
    ('a', 'b')
    """
    # In the order of their first appearance, so that labels that tie (sets are only partly ordered) stay put.
    distinct = list(dict.fromkeys(labels))
    try:
        return tuple(sorted(distinct))
    except TypeError:
        return tuple(sorted(distinct, key=repr))


def class_numbers(labels: Sequence[Hashable], classes: Sequence[Hashable]) -> IntArray:
    """Index of every label in ``classes``, shape (n,).

    Raises
    ------
    LabelMismatch
        If a class occurs twice, or a label is not among them.
    """
    index = {label: k for k, label in enumerate(classes)}
    if len(index) != len(classes):
        raise LabelMismatch(f"expected distinct classes, got {shortened(classes)}: give each column its own label")
    numbers = [index.get(label, -1) for label in labels]
    if -1 in numbers:
        strangers = sorted({repr(label) for label in labels if label not in index})
        raise LabelMismatch(
            f"expected labels among the {len(classes)} classes {shortened(classes)}, got {', '.join(strangers[:5])}: "
            "pass classes= in the order of the columns"
        )
    return np.array(numbers, np.int64)


def shortened(values: Sequence[Any]) -> str:
    """The first few values, for an error message."""
    shown = ", ".join(repr(value) for value in values[:6])
    return shown if len(values) <= 6 else f"{shown}, ... ({len(values)} in all)"


def _plain(label: Any) -> Any:
    """A scalar of NumPy or torch as the Python value it stands for."""
    return label.item() if getattr(label, "shape", None) == () and hasattr(label, "item") else label


def _not_one_each(labels: Any) -> DataError:
    shape = getattr(labels, "shape", None)
    got = f"a {type(labels).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")
    return DataError(f"expected one label per item, shape (n,), got {got}: flatten y into an array or a list of labels")
