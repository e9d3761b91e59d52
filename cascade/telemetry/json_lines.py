"""One line of JSON for every request, into a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from cascade.telemetry.requests import RequestRecord

_FLUSH_MS = 1000.0
_BUFFER_BYTES = 1 << 18
"""Some hundred lines: with the usual buffer one request in twenty waits for the file system."""
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class JsonLines:
    """A listener that appends one JSON object per request to a file.

    Parameters
    ----------
    path : path
        Is made, or added to.
    now_s : callable, optional
        Seconds since 1970, for ``time``.

    Notes
    -----
    Lines are written out with the first request that ends more than a second after the last time, and by `close`: those of the last second are
    lost with a process that is killed. Neither inputs nor labels are written. The file grows as long as requests come: rotate it by
    stopping, closing and listening with another.

    Examples
    --------
    Listen with it, and close it once nobody does::

        lines = JsonLines("requests.jsonl")
        with predictor.listen(lines):
            ...
        lines.close()
    """

    def __init__(self, path: str | Path, now_s: Callable[[], float] = time.time) -> None:
        self._file = Path(path).open("ab", _BUFFER_BYTES)  # noqa: SIM115 - open as long as somebody listens
        self._now_s, self._lock, self._flushed_ms = now_s, Lock(), float("-inf")

    def began(self) -> None:
        """Nothing is to be known beforehand."""

    def ended(self, record: RequestRecord, began: None) -> None:  # noqa: ARG002 - a Listener
        """Write a line; after `close` there is nothing to write it to, and it is left out."""
        line = f"{_encode(fields_of(record, self._now_s()))}\n".encode()
        with self._lock:
            if self._file.closed:
                return
            self._file.write(line)
            if record.ended_ms - self._flushed_ms >= _FLUSH_MS:
                self._file.flush()
                self._flushed_ms = record.ended_ms

    def close(self) -> None:
        """Write out everything, and close the file."""
        with self._lock:
            self._file.close()


def fields_of(record: RequestRecord, time_s: float) -> dict[str, Any]:
    """A record as what JSON has; instants of runs are milliseconds since the request arrived."""
    return {
        "time": round(time_s, 6),
        "id": record.id,
        "rows": record.n_rows,
        "priority": record.priority,
        "outcome": record.outcome,
        "budget_ms": _short(record.budget_ms),
        "latency_ms": _short(record.latency_ms),
        "queue_wait_ms": _short(record.queue_wait_ms),
        "slack_ms": _short(record.slack_ms),
        "in_time": record.in_time,
        "path": list(record.path),
        "confidence": _short(record.confidence),
        "from_cache": record.from_cache,
        "runs": [
            {
                "stage": run.stage,
                "lane": run.lane,
                "rows": run.n,
                "start_ms": _short(run.start_ms - record.arrived_ms),
                "service_ms": _short(run.end_ms - run.start_ms),
                "failed": run.has_failed,
            }
            for run in record.runs
        ],
    }


def _short(value: float | None) -> float | None:
    """To a nanosecond, which no clock here is better than."""
    return None if value is None else round(value, 6)
