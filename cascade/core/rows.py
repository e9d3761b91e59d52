"""Rows of a batch, whatever the batch is made of.

A batch is a NumPy array, a torch tensor, a pandas frame, a SciPy sparse matrix or a plain sequence of
objects; its first axis is the row. Pure, and torch and pandas are recognised by what they can do, so
that neither is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.core.records import IntArray
from cascade.errors import InputMismatch


def n_rows(batch: Any) -> int:
    """Number of rows of a batch.

    Parameters
    ----------
    batch : array, tensor, frame or sequence of n items

    Returns
    -------
    int
        n, at least 0.

    Raises
    ------
    InputMismatch
        If ``batch`` has no row axis: a scalar, a string, a mapping, a set, or something without a length.

    Examples
    --------
    >>> n_rows(np.zeros((3, 8, 8)))
    3
    >>> n_rows(["a question", "another one"])
    2
    """
    shape = getattr(batch, "shape", None)
    if shape is not None:
        if len(shape):
            return int(shape[0])
        raise InputMismatch(f"expected a batch of rows, got a {type(batch).__name__} without axes; give x[None]")
    if isinstance(batch, (str, bytes, dict, set, frozenset)) or not hasattr(batch, "__len__"):
        raise InputMismatch(
            f"expected a batch of rows (an array, a tensor, a frame or a list of items), "
            f"got a {type(batch).__name__}; put a single item into a list"
        )
    return len(batch)


def take_rows(batch: Any, rows: IntArray) -> Any:
    """The given rows of a batch, in the given order, as a batch of the same kind.

    Parameters
    ----------
    batch : array, tensor, frame or sequence of n items
    rows : ndarray of int, shape (m,)
        Row indices in [0, n); repeats are allowed.

    Returns
    -------
    batch of m rows
        A copy, never a view. A list or tuple stays one; any other sequence becomes a list.

    Examples
    --------
    >>> take_rows(["a", "b", "c"], np.array([2, 0]))
    ['c', 'a']
    """
    if isinstance(batch, np.ndarray):
        return batch.take(rows, axis=0)
    if hasattr(batch, "iloc"):
        return batch.iloc[rows]
    if hasattr(batch, "shape"):
        # torch warns about index arrays that are read-only.
        return batch[rows if rows.flags.writeable else rows.copy()]
    taken = [batch[row] for row in rows.tolist()]
    return tuple(taken) if isinstance(batch, tuple) else taken


def as_batch(x: Any) -> Any:
    """One item as a batch of one row, without a copy of arrays and tensors.

    Parameters
    ----------
    x : object
        An array or tensor of any number of axes, a NumPy scalar, or anything else.

    Returns
    -------
    batch of one row
        ``x[None]`` for arrays, NumPy scalars and tensors; ``[x]`` for anything else.

    Examples
    --------
    >>> as_batch(np.zeros(784)).shape
    (1, 784)
    >>> as_batch("a question")
    ['a question']
    """
    if isinstance(x, (np.ndarray, np.generic)) or hasattr(x, "unsqueeze"):
        return x[None]
    return [x]
