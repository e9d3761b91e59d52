"""Arrays as fields of a frozen value: copied, checked and read-only.

Pure: arrays in, arrays out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cascade.core.records import FloatArray
from cascade.errors import ConfigurationError, NotFinite


def frozen_amounts(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """A read-only float64 copy of finite numbers, none of them negative.

    Parameters
    ----------
    values : array-like
    name : str
        What the error messages call the array.
    shape : tuple of int or None
        Expected shape; None stands for any length of at least 1.

    Returns
    -------
    ndarray of the given shape

    Raises
    ------
    ConfigurationError
        If the values are no numbers, of another shape, or if one is negative.
    NotFinite
        If one is NaN or infinite.

    Examples
    --------
    >>> frozen_amounts([1, 2], "costs", (2,)).tolist()
    [1.0, 2.0]
    """
    wanted = f"({', '.join('any' if length is None else str(length) for length in shape)})"
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"expected {name} as numbers of shape {wanted}: {error}") from error
    matches = array.ndim == len(shape) and all(
        length in (None, found) for length, found in zip(shape, array.shape, strict=True)
    )
    if not matches or array.size == 0:
        raise ConfigurationError(f"expected {name} of shape {wanted}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise NotFinite(f"expected finite numbers in {name}, got {array[~np.isfinite(array)][0]}")
    if (array < 0.0).any():
        raise ConfigurationError(f"expected no negative number in {name}, got {array.min()}")
    array.setflags(write=False)
    return array


def check_never_falls(values: FloatArray, axis: int, name: str, along: str) -> None:
    """Refuse an array whose values fall along an axis.

    Raises
    ------
    ConfigurationError
        If a value is below its predecessor.
    """
    steps = np.diff(values, axis=axis)
    if (steps < 0.0).any():
        raise ConfigurationError(f"expected {name} never to fall as the {along} grows, got a step of {steps.min()}")
