"""Probabilities and confidences as a caller hands them in, checked and brought into one form.

Pure. NumPy arrays, tensors and nested lists are taken alike; a tensor is recognised by what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.kernels import encode_probs
from cascade.core.labels import shortened
from cascade.core.records import FloatArray, IntArray
from cascade.errors import DataError, NotFinite

# What is refused, not what is allowed: number formats of other libraries, such as bfloat16, have the kind of raw bytes.
_NO_REAL_NUMBERS = {"c": "complex numbers", "S": "bytes", "U": "text", "T": "text", "M": "dates", "m": "spans of time"}


def as_numbers(values: Any, name: str) -> NDArray[Any]:
    """An array of float32 or float64, not copied where it is one already.

    Raises
    ------
    DataError
        If the values are no real numbers (complex numbers, dates and numbers written as text are none), or rows differ
        in length.
    """
    host = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        array = np.asarray(host)
        if array.dtype in (np.float32, np.float64):
            return array
        if (stranger := _no_real_numbers(array)) is None:
            return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"expected {name} as an array of numbers, got what makes none ({error}): give floats, in rows of one length"
        ) from error
    raise DataError(f"expected {name} as an array of real numbers, got {stranger}: convert them to floats first")


def _no_real_numbers(array: NDArray[Any]) -> str | None:
    """What the array holds that NumPy would turn into floats without a word; None if it holds nothing of the kind."""
    if array.dtype.kind == "O":
        strangers = (value for value in array.flat if isinstance(value, (str, bytes, complex, np.complexfloating)))
        return next((f"objects such as {value!r}" for value in strangers), None)
    if array.dtype.kind not in _NO_REAL_NUMBERS:
        return None
    what = _NO_REAL_NUMBERS[array.dtype.kind]
    return f"{what} such as {array.flat[0].item()!r}" if array.size else what


def encoded_probs(probs: NDArray[Any], stages: Sequence[str]) -> NDArray[np.float32]:
    """Log-probabilities (n, K, c) of class probabilities (n, K, c); rows are scaled to sum to one.

    Raises
    ------
    NotFinite
        If an entry is NaN or infinite; the message names the stage.
    DataError
        If an entry is negative or a row sums to zero.
    """
    encoded = np.empty(probs.shape, np.float32)
    for j, name in enumerate(stages):
        # One dtype and layout, so that one compiled kernel serves all.
        stage = np.ascontiguousarray(probs[:, j], np.float64)
        log_probs = np.empty(stage.shape, np.float32)
        if not encode_probs(stage, log_probs):
            row = _first_unusable(stage)
            kind = DataError if np.isfinite(stage[row]).all() else NotFinite
            raise kind(
                f"expected probabilities >= 0 with a positive sum, got {shortened(stage[row].tolist())} in row {row} of stage {name!r}: "
                f"check probs[{row}, {j}]"
            )
        encoded[:, j] = log_probs
    return encoded


def _first_unusable(table: FloatArray) -> int:
    with np.errstate(over="ignore", invalid="ignore"):
        total = table.sum(axis=1)
    return int(np.argmax(~np.isfinite(total) | (table < 0.0).any(axis=1) | (total <= 0.0)))


def checked_confidence(confidence: FloatArray, stages: Sequence[str]) -> FloatArray:
    """The same confidences (n, K).

    Raises
    ------
    NotFinite
        If one is NaN; the message names the stage.
    DataError
        If one lies outside [0, 1].
    """
    outside = ~((confidence >= 0.0) & (confidence <= 1.0))
    if outside.any():
        row, j = (int(index) for index in np.argwhere(outside)[0])
        kind = NotFinite if np.isnan(confidence[row, j]) else DataError
        raise kind(
            f"expected confidences in [0, 1], got {confidence[row, j]} in row {row} of stage {stages[j]!r}: rescale them first"
        )
    return confidence


def top_classes(log_probs: NDArray[np.float32]) -> tuple[IntArray, FloatArray]:
    """The most probable class of every stage and its probability, both (n, K), from log-probabilities (n, K, c)."""
    n, k, _ = log_probs.shape
    classes, confidence = np.empty((n, k), np.int64), np.empty((n, k))
    for j in range(k):
        exact = log_probs[:, j].astype(np.float64)
        classes[:, j] = exact.argmax(axis=1)
        # Rounding may carry a sure answer a hair above 1.
        confidence[:, j] = np.minimum(np.exp(exact.max(axis=1) - np.log(np.exp(exact).sum(axis=1))), 1.0)
    return classes, confidence
