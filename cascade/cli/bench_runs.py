"""One run of ``cascade bench``: how long every row took in every round, as JSON.

May read the clock it is given and call whatever answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cascade.clock import Clock
from cascade.core.records import FloatArray
from cascade.errors import DataError
from cascade.predictor import Predictor

_FORMAT = 1
_N_YARDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class BenchRun:
    """What was measured.

    Attributes
    ----------
    stages : tuple of str
    budget_ms : float or None
    data : str
        Hash of the rows and labels.
    latency_ms : ndarray, shape (rounds, rows)
    in_time : ndarray of bool, shape (rounds, rows)
    yardstick_ms : ndarray, shape (rounds,)
        What a fixed piece of work took beside each round: how fast the machine was then.
    correct : ndarray of bool, shape (rounds, rows), or None
        Whether the labels were right; None without labels.
    stamp : mapping
        Machine and versions.
    """

    stages: tuple[str, ...]
    budget_ms: float | None
    data: str
    latency_ms: FloatArray
    in_time: NDArray[np.bool_]
    yardstick_ms: FloatArray
    correct: NDArray[np.bool_] | None
    stamp: Mapping[str, Any]

    @property
    def in_yards(self) -> FloatArray:
        """Latencies as multiples of the yardstick of their round, shape (rounds, rows)."""
        return self.latency_ms / self.yardstick_ms[:, None]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "format": _FORMAT,
            "stages": list(self.stages),
            "budget_ms": self.budget_ms,
            "data": self.data,
            "stamp": dict(self.stamp),
            "yardstick_ms": self.yardstick_ms.round(5).tolist(),
            "latency_ms": self.latency_ms.round(5).tolist(),
            "in_time": self.in_time.astype(int).tolist(),
            "correct": None if self.correct is None else self.correct.astype(int).tolist(),
        }

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.to_dict()) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote.

        Raises
        ------
        DataError
            If the file is not that.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != _FORMAT:
                raise DataError(
                    f"expected format {_FORMAT} at {path}, got {found['format']!r}: measure the baseline again"
                )
            run = cls(
                tuple(found["stages"]),
                found["budget_ms"],
                found["data"],
                np.array(found["latency_ms"], np.float64),
                np.array(found["in_time"], bool),
                np.array(found["yardstick_ms"], np.float64),
                None if found["correct"] is None else np.array(found["correct"], bool),
                found["stamp"],
            )
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"expected what 'cascade bench --out' wrote at {path}, got something else: {type(error).__name__}: {error}"
            ) from error
        if run.latency_ms.ndim != 2 or run.in_time.shape != run.latency_ms.shape:
            raise DataError(f"expected rounds of as many rows each at {path}: measure the baseline again")
        return run


def measure(
    predictor: Predictor,
    inputs: NDArray[Any],
    labels: Sequence[Any] | None,
    *,
    budget_ms: float | None,
    n_rounds: int,
    clock: Clock,
    stamp: Mapping[str, Any],
) -> BenchRun:
    """Answer every row in every round, one at a time; one round before is not measured."""
    latency_ms = np.zeros((n_rounds, len(inputs)))
    in_time, correct = np.zeros(latency_ms.shape, bool), np.zeros(latency_ms.shape, bool)
    yardstick_ms = np.zeros(n_rounds)
    for i in range(-1, n_rounds):
        before_ms = _yard_ms(clock)
        for row, x in enumerate(inputs):
            start_ms = clock.now_ms()
            answer = predictor.predict(x, budget_ms=budget_ms)
            latency_ms[i, row] = clock.now_ms() - start_ms
            in_time[i, row] = answer.in_time
            correct[i, row] = labels is not None and answer.label == labels[row]
        yardstick_ms[i] = 0.5 * (before_ms + _yard_ms(clock))
    names = tuple(predictor.policy.stages or ())
    return BenchRun(
        names,
        budget_ms,
        _hash_of(inputs, labels),
        latency_ms,
        in_time,
        yardstick_ms,
        None if labels is None else correct,
        stamp,
    )


def _yard_ms(clock: Clock) -> float:
    """What a fixed piece of work takes now: some of it in the interpreter, some in compiled loops."""
    square = np.arange(4096.0).reshape(64, 64) / 4096.0
    took = []
    for _ in range(_N_YARDS):
        start_ms = clock.now_ms()
        for _ in range(20):
            square @ square
        sum(number * number for number in range(5000))
        took.append(clock.now_ms() - start_ms)
    # A clock that stands still measures nothing, and divides nothing.
    return sorted(took)[_N_YARDS // 2] or 1.0


def _hash_of(inputs: NDArray[Any], labels: Sequence[Any] | None) -> str:
    found = hashlib.sha256(repr((inputs.shape, str(inputs.dtype), labels)).encode())
    found.update(np.ascontiguousarray(inputs).tobytes())
    return found.hexdigest()[:16]
