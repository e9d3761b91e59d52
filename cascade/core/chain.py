"""The checks of a chain of thresholds set by hand.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from cascade.errors import ConfigurationError

MAX_CHAIN = 15
"""A table is laid out for all 2**K sets of stages, and a path of K stages must fit an integer to the base K + 1."""


def checked_thresholds(thresholds: Sequence[float], n_stages: int) -> tuple[float, ...]:
    """The thresholds of a chain.

    Raises
    ------
    ConfigurationError
        If there are more than 15 stages, if the number of thresholds is not ``n_stages - 1``, or if one lies outside
        [0, 1].
    """
    if n_stages > MAX_CHAIN:
        raise ConfigurationError(f"expected at most {MAX_CHAIN} stages in a chain, got {n_stages}: leave some out")
    try:
        values = tuple(float(value) for value in thresholds)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"expected a sequence of numbers as thresholds, got {thresholds!r}") from error
    if len(values) != n_stages - 1:
        raise ConfigurationError(
            f"expected {n_stages - 1} threshold(s), one for each of {n_stages} stages but the last, got {len(values)}"
        )
    if not all(0.0 <= value <= 1.0 for value in values):
        raise ConfigurationError(f"expected thresholds in [0, 1], got {list(values)}")
    return values
