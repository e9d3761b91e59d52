"""What bounds a scheduler, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers that a scheduler is made with; `Scheduler` says what they mean.

    Raises
    ------
    ConfigurationError
        If one is outside its range.
    """

    n_lanes: int
    max_batch: int
    max_waiting: int
    headroom: float
    background_share: float

    def __post_init__(self) -> None:
        for name in ("n_lanes", "max_batch", "max_waiting"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if not 0.0 < self.headroom <= 1.0:
            raise ConfigurationError(f"expected headroom in (0, 1], got {self.headroom}")
        if not 0.0 <= self.background_share <= 1.0:
            raise ConfigurationError(f"expected background_share in [0, 1], got {self.background_share}")
