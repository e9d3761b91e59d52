"""Probabilities and confidences as a caller hands them in, checked and brought into one form.

Pure. NumPy arrays, tensors and nested lists are taken alike; a tensor is recognised by what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.kernels import encode_probs
from cascade.core.records import FloatArray, IntArray
from cascade.errors import DataError, NotFinite


def as_numbers(values: Any, name: str) -> FloatArray:
    """An array of float64.

    Raises
    ------
    DataError
        If the values are no numbers, or rows differ in length.
    """
    host = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        return np.asarray(host, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected {name} as an array of numbers: {error}") from error


def encoded_probs(probs: FloatArray, stages: Sequence[str]) -> NDArray[np.float32]:
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
        stage, log_probs = np.ascontiguousarray(probs[:, j]), np.empty((probs.shape[0], probs.shape[2]), np.float32)
        if not encode_probs(stage, log_probs):
            row = int(np.argmax(~np.isfinite(stage.sum(axis=1)) | (stage < 0.0).any(axis=1) | ~stage.any(axis=1)))
            kind = DataError if np.isfinite(stage).all() else NotFinite
            raise kind(
                f"expected probabilities >= 0 with a positive sum per row, got {stage[row].tolist()} in row {row} of stage {name!r}: "
                f"check probs[{row}, {j}]"
            )
        encoded[:, j] = log_probs
    return encoded


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


def chosen(log_probs: NDArray[np.float32]) -> tuple[IntArray, FloatArray]:
    """The most probable class and its probability, over the last axis of log-probabilities (..., c)."""
    exact = log_probs.astype(np.float64)
    confidence = np.exp(exact.max(axis=-1) - np.log(np.exp(exact).sum(axis=-1)))
    return log_probs.argmax(axis=-1).astype(np.int64, copy=False), np.minimum(confidence, 1.0)
