"""A window of time as a trace for Perfetto or chrome://tracing: lanes with their batches, requests, deadlines and the queue.

References
----------
Google, Trace Event Format (the JSON that chrome://tracing and https://ui.perfetto.dev read).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from math import inf
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from cascade.errors import ConfigurationError
from cascade.telemetry.requests import Listener, RequestRecord, StageRun

Event = dict[str, Any]
_LANES, _REQUESTS = 1, 2
"""Processes, as the format calls what groups the tracks."""
_QUEUE, _DEADLINES = 1, 2
_MOST_NAMED = 64
"""Requests that are named in a batch."""


class TraceWindow:
    """Records requests for as long as its ``with`` block lasts, and writes them as a trace when it ends.

    Parameters
    ----------
    path : path
        Of the JSON file; what was there is written over.
    listen : callable
        Lets a listener hear of requests as long as the context that it returns lasts.
    max_requests : int
        Requests that are kept, the latest.

    Attributes
    ----------
    records : deque of RequestRecord
    n_dropped : int
        Requests that are not kept, as later ones took their place.

    Raises
    ------
    ConfigurationError
        If there is no folder for the file, or ``max_requests`` is not at least 1.
    """

    def __init__(
        self,
        path: str | Path,
        listen: Callable[[Listener], AbstractContextManager[object]],
        max_requests: int,
    ) -> None:
        self._path, self._listen = Path(path), listen
        if not self._path.parent.is_dir() or self._path.is_dir():
            raise ConfigurationError(f"expected a file in a folder that exists, got {str(path)!r}")
        if max_requests < 1:
            raise ConfigurationError(f"expected max_requests of at least 1, got {max_requests}")
        self.records: deque[RequestRecord] = deque(maxlen=max_requests)
        self._n_heard, self._lock = 0, Lock()

    @property
    def n_dropped(self) -> int:
        """Requests that are not kept."""
        return self._n_heard - len(self.records)

    def began(self) -> None:
        """Nothing is to be known beforehand."""

    def ended(self, record: RequestRecord, began: None) -> None:  # noqa: ARG002 - a Listener
        """Keep a request."""
        with self._lock:
            self._n_heard += 1
            self.records.append(record)

    def __enter__(self) -> Self:
        self._listening = self._listen(self)
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, traceback)
        # Requests that began within the block may end meanwhile.
        with self._lock:
            records, n_dropped = list(self.records), self.n_dropped
        trace = {
            "traceEvents": list(trace_events(records)),
            "displayTimeUnit": "ms",
            "otherData": {"requests": len(records), "requests_dropped": n_dropped},
        }
        self._path.write_text(json.dumps(trace), encoding="utf-8")


def trace_events(records: Sequence[RequestRecord]) -> Iterator[Event]:
    """Requests as events; instants are microseconds since the first arrival.

    Parameters
    ----------
    records : sequence of RequestRecord

    Yields
    ------
    dict
        Names of tracks; a complete event for every run of a stage, on the track of its lane; a counter of the requests that wait; a slice
        for every request; and an instant for every deadline that passed while the window was open.
    """
    if not records:
        return
    # A run began before the arrival of a request that it did not carry: only what was heard counts.
    runs = list({id(run): run for record in records for run in record.runs}.values())
    origin_ms = min([record.arrived_ms for record in records] + [run.start_ms for run in runs])
    end_ms = max(record.ended_ms for record in records)

    def instant_us(at_ms: float) -> float:
        return round((at_ms - origin_ms) * 1e3, 3)

    yield from _names(sorted({run.lane for run in runs}))
    yield from _batches(runs, records, instant_us)
    yield from _waiting(records, instant_us)
    for record in records:
        yield from _request(record, instant_us)
        if record.deadline_ms <= end_ms:
            yield _deadline(record, instant_us)


def _names(lanes: Sequence[int]) -> Iterator[Event]:
    yield _meta("process_name", _LANES, 0, "lanes")
    for lane in lanes:
        yield _meta("thread_name", _LANES, lane + 1, f"lane {lane}")
    yield _meta("process_name", _REQUESTS, 0, "requests")
    yield _meta("thread_name", _REQUESTS, _QUEUE, "queue")
    yield _meta("thread_name", _REQUESTS, _DEADLINES, "deadlines")


def _meta(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "ts": 0, "args": {"name": name}}


def _batches(
    runs: Sequence[StageRun], records: Sequence[RequestRecord], instant_us: Callable[[float], float]
) -> Iterator[Event]:
    members: dict[int, list[int]] = {}
    for record in records:
        for run in record.runs:
            members.setdefault(id(run), []).append(record.id)
    for run in runs:
        ids = members[id(run)]
        yield {
            "ph": "X",
            "name": f"{run.stage} × {run.n}" if run.n > 1 else run.stage,
            "cat": "failed" if run.has_failed else "batch",
            "pid": _LANES,
            "tid": run.lane + 1,
            "ts": instant_us(run.start_ms),
            "dur": round(max(run.end_ms - run.start_ms, 0.0) * 1e3, 3),
            "args": {
                "stage": run.stage,
                "rows": run.n,
                "closed_by": run.closed_by,
                "failed": run.has_failed,
                "requests": ids[:_MOST_NAMED],
            },
        }


def _waiting(records: Sequence[RequestRecord], instant_us: Callable[[float], float]) -> Iterator[Event]:
    """How many of them waited, whenever that changed."""
    waits = [
        (record.arrived_ms, record.arrived_ms + record.queue_wait_ms) for record in records if record.queue_wait_ms
    ]
    steps = sorted([(start_ms, 1) for start_ms, _ in waits] + [(end_ms, -1) for _, end_ms in waits])
    for (at_ms, _), n in zip(steps, accumulate(step for _, step in steps), strict=True):
        yield {
            "ph": "C",
            "name": "waiting requests",
            "pid": _REQUESTS,
            "tid": _QUEUE,
            "ts": instant_us(at_ms),
            "args": {"waiting": n},
        }


def _request(record: RequestRecord, instant_us: Callable[[float], float]) -> Iterator[Event]:
    """A slice from its arrival to its end, and one in it for the time that it waited."""
    common = {"cat": "request", "id": record.id, "pid": _REQUESTS, "tid": 0}
    fields = {
        "priority": record.priority,
        "rows": record.n_rows,
        "budget_ms": None if record.deadline_ms == inf else record.budget_ms,
        "slack_ms": record.slack_ms,
        "in_time": record.in_time,
        "path": " > ".join(record.path),
        "confidence": record.confidence,
        "from_cache": record.from_cache,
    }
    arrived_us = instant_us(record.arrived_ms)
    yield {**common, "ph": "b", "name": record.outcome, "ts": arrived_us, "args": fields}
    if record.queue_wait_ms:
        yield {**common, "ph": "b", "name": "waits", "ts": arrived_us}
        yield {**common, "ph": "e", "name": "waits", "ts": instant_us(record.arrived_ms + record.queue_wait_ms)}
    yield {**common, "ph": "e", "name": record.outcome, "ts": instant_us(record.ended_ms)}


def _deadline(record: RequestRecord, instant_us: Callable[[float], float]) -> Event:
    kept = "kept" if record.in_time else "missed"
    return {
        "ph": "i",
        "s": "t",
        "name": f"deadline {kept}",
        "cat": "deadline",
        "pid": _REQUESTS,
        "tid": _DEADLINES,
        "ts": instant_us(record.deadline_ms),
        "args": {"request": record.id, "slack_ms": record.slack_ms},
    }
