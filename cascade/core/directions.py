"""How alike vectors are: the cosine of the angle between them, in single precision.

Pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.errors import InputMismatch

Directions = NDArray[np.float32]


def unit_vectors(vectors: ArrayLike) -> Directions:
    """Vectors of length one in the same directions.

    Parameters
    ----------
    vectors : array of numbers, shape (d,) or (n, d)

    Returns
    -------
    ndarray of float32 of the same shape
        The product of two of them is their similarity, in [-1, 1].

    Raises
    ------
    InputMismatch
        If the shape is another one, or a vector has no direction: all zeros, or something that is not finite.

    Examples
    --------
    >>> unit_vectors([3.0, 4.0]).round(2).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    given: NDArray[Any] = np.asarray(vectors, np.float64)
    if given.ndim not in (1, 2) or not given.shape[-1]:
        raise InputMismatch(
            f"expected vectors of shape (d,) or (n, d), got shape {given.shape}: flatten what embed returns"
        )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # By the largest entry first, so that no square is too large or too small for a float.
        scaled = given / np.abs(given).max(axis=-1, keepdims=True)
        units = scaled / np.sqrt((scaled * scaled).sum(axis=-1, keepdims=True))
    if not np.isfinite(units).all():
        raise InputMismatch("expected vectors that have a direction, got one of zeros, or with NaN or infinity")
    directions: Directions = units.astype(np.float32)
    return directions
