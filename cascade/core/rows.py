"""Rows of a batch, whatever the batch is made of.

A batch is a NumPy array, a torch tensor, a pandas frame, a SciPy sparse matrix or a plain sequence of
objects; its first axis is the row. Pure, and torch and pandas are recognised by what they can do, so
that neither is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
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


def join_rows(batches: Sequence[Any]) -> Any:
    """Several batches of one kind, one after the other, as one batch.

    Parameters
    ----------
    batches : sequence of arrays, tensors, frames, sparse matrices, lists or tuples
        At least one; arrays and tensors agree in dtype and in all axes but the first.

    Returns
    -------
    batch of all their rows
        A new one, unless there is a single batch.

    Raises
    ------
    InputMismatch
        If batches of this kind cannot be joined.

    Examples
    --------
    >>> join_rows([np.zeros((1, 4)), np.ones((2, 4))]).shape
    (3, 4)
    >>> join_rows([["a"], ["b", "c"]])
    ['a', 'b', 'c']
    """
    first = batches[0]
    if len(batches) == 1:
        return first
    if isinstance(first, np.ndarray):
        return np.concatenate(batches)
    if hasattr(first, "new_empty"):
        joined = first.new_empty((sum(n_rows(batch) for batch in batches), *first.shape[1:]))
        fill_rows(joined, batches)
        return joined
    if hasattr(first, "tocsr"):
        from scipy.sparse import vstack  # only those who hand in sparse rows pay for loading it

        return vstack(batches, format=first.format)
    if hasattr(first, "iloc"):
        # The library that the frames come from is loaded already, and is not one of ours.
        return import_module(type(first).__module__.partition(".")[0]).concat(list(batches))
    if hasattr(first, "shape"):
        raise InputMismatch(
            f"expected batches that can be joined, got {len(batches)} of type {type(first).__name__}: hand in NumPy arrays, "
            "tensors, frames or lists, or turn them into one in preprocess="
        )
    rows = [row for batch in batches for row in batch]
    return tuple(rows) if isinstance(first, tuple) else rows


def fill_rows(target: Any, batches: Sequence[Any]) -> None:
    """Write batches of tensors, one after the other, into the rows of another; detached, so that nothing is recorded."""
    start = 0
    for batch in batches:
        stop = start + batch.shape[0]
        target[start:stop] = batch.detach()
        start = stop
