"""What one input looks like: its shape and dtype.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Shape of one item and its dtype; None where items are not arrays (texts, records)."""

    shape: tuple[int, ...] | None
    dtype: str | None

    @classmethod
    def of_batch(cls, batch: Any) -> InputSpec:
        """The specification shared by the rows of a batch."""
        shape, dtype = getattr(batch, "shape", None), getattr(batch, "dtype", None)
        if shape is None or dtype is None:
            return cls(None, None)
        return cls(tuple(int(side) for side in shape[1:]), str(dtype).removeprefix("torch."))
