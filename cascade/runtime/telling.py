"""Tell those who listen what became of a request."""

from __future__ import annotations

from cascade.core.records import Prediction
from cascade.runtime.answers import BatchPrediction
from cascade.runtime.single import Request
from cascade.telemetry.listening import Trail
from cascade.telemetry.requests import RequestRecord


def tell_answer(trail: Trail, request: Request, answer: Prediction) -> None:
    """One item was answered."""
    trail.end(
        RequestRecord(
            request.id,
            1,
            request.priority,
            answer.status.value,
            request.start_ms,
            request.start_ms + answer.latency_ms,
            request.deadline_ms,
            answer.queue_wait_ms,
            answer.in_time,
            answer.path,
            answer.confidence,
            answer.from_cache,
            tuple(trail.runs),
        )
    )


def tell_rows(trail: Trail, request: Request, answers: BatchPrediction) -> None:
    """The rows of one call were answered."""
    counts = answers.status_counts
    trail.end(
        RequestRecord(
            request.id,
            len(answers),
            request.priority,
            max(counts, key=lambda outcome: counts[outcome]),
            request.start_ms,
            request.start_ms + answers.latency_ms,
            request.deadline_ms,
            0.0,
            bool(answers.in_time.all()),
            from_cache=bool(answers.from_cache.any()),
            runs=tuple(trail.runs),
        )
    )


def tell_refusal(trail: Trail, request: Request, reason: str, now_ms: float) -> None:
    """There is no answer."""
    began_ms = trail.runs[0].start_ms if trail.runs else now_ms
    trail.end(
        RequestRecord(
            request.id,
            1,
            request.priority,
            reason,
            request.start_ms,
            now_ms,
            request.deadline_ms,
            max(began_ms - request.start_ms, 0.0),
            False,
            runs=tuple(trail.runs),
        )
    )
