"""What the rules check about what they are given.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from cascade.errors import ConfigurationError


def checked_accuracy(accuracy: Sequence[float], n_stages: int) -> list[float]:
    """The accuracy of every stage.

    Raises
    ------
    ConfigurationError
        If there is not one for each stage, or one is outside [0, 1].
    """
    values = [float(value) for value in accuracy]
    if len(values) != n_stages or not all(0.0 <= value <= 1.0 for value in values):
        raise ConfigurationError(f"expected an accuracy in [0, 1] for each of {n_stages} stages, got {values}")
    return values
