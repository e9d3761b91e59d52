"""What ran: every batch of a simulation, as arrays.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.core.records import FloatArray, IntArray
from cascade.scheduling.messages import Run


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The batches in the order in which they started.

    Attributes
    ----------
    start_ms, took_ms : ndarray, shape (r,)
    lane, stage, size : ndarray of int64, shape (r,)
    price : ndarray, shape (r,)
        Load price under which the most urgent request of each batch was decided, in accuracy per millisecond.
    """

    start_ms: FloatArray
    took_ms: FloatArray
    lane: IntArray
    stage: IntArray
    size: IntArray
    price: FloatArray

    @classmethod
    def of(cls, runs: Sequence[tuple[float, float, Run]]) -> Runs:
        """From instants, durations and commands."""
        return cls(
            np.array([start_ms for start_ms, _, _ in runs], np.float64),
            np.array([took_ms for _, took_ms, _ in runs], np.float64),
            np.array([run.lane for _, _, run in runs], np.int64),
            np.array([run.stage for _, _, run in runs], np.int64),
            np.array([len(run.requests) for _, _, run in runs], np.int64),
            np.array([run.price for _, _, run in runs], np.float64),
        )

    def __len__(self) -> int:
        return len(self.start_ms)

    @property
    def mean_size(self) -> float:
        """Mean number of requests in a batch; NaN without batches."""
        return float(self.size.mean()) if len(self) else float("nan")

    @property
    def busy_ms(self) -> float:
        """Summed duration of the batches on all lanes."""
        return float(self.took_ms.sum())
