"""From evidence to what the caller gets: labels, postprocessing, timing, status.

Reads the clock it is given, at the very end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import FloatArray, IntArray, OpenPrediction, Prediction, Status
from cascade.core.replay import label_array, path_counts_of
from cascade.runtime.ready import INFINITE, ReadyPolicy
from cascade.runtime.row_states import Rows
from cascade.runtime.single import Request


class Reached(Protocol):
    """How far a request got, whichever way: a `Walk`, or a `Pending` that is over."""

    @property
    def evidence_set(self) -> int: ...  # noqa: D102 - as in `Walk`
    @property
    def state(self) -> FloatArray: ...  # noqa: D102
    @property
    def confidence(self) -> float: ...  # noqa: D102
    @property
    def path(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def is_degraded(self) -> bool: ...  # noqa: D102
    @property
    def is_resumed(self) -> bool: ...  # noqa: D102


Postprocess = Callable[[Any], Any] | None
_ANSWERED, _DEGRADED, _ABSTAINED = Status.ANSWERED, Status.DEGRADED, Status.ABSTAINED


@dataclass(frozen=True, slots=True, eq=False)
class BatchPrediction:
    """The answers to one call of n rows.

    Attributes
    ----------
    labels : ndarray, shape (n,)
        The caller's labels; objects, with None where the predictor abstained, if it did or postprocessed.
    confidence : ndarray, shape (n,)
    probs : ndarray, shape (n, c)
    stage : ndarray of str, shape (n,)
        The last stage that the answer to each row rests on; empty where there is none.
    status : ndarray of Status, shape (n,)
    in_time : ndarray of bool, shape (n,)
        Whether the call returned before the deadline: the answers come together.
    path_counts : mapping from tuple of str to int
        Rows by the stages that their answers rest on, in the order in which they spoke.
    latency_ms : float
        Of the whole call.
    ids : ndarray of int64, shape (n,), or None
        What `Predictor.feedback` asks for; None where the predictor neither audits nor looks for drift.
    from_cache : ndarray of bool, shape (n,)
        Whether some evidence came from the result cache. Rows that equal an earlier one of the same call share its answer, and say the same.
    """

    labels: NDArray[Any]
    confidence: FloatArray
    probs: FloatArray
    stage: NDArray[np.str_]
    status: NDArray[np.object_]
    in_time: NDArray[np.bool_]
    path_counts: Mapping[tuple[str, ...], int]
    latency_ms: float
    ids: IntArray | None
    from_cache: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        paths = ", ".join(f"{' > '.join(path) or 'no stage'} {n}" for path, n in self.path_counts.items())
        return f"BatchPrediction({len(self)} rows in {self.latency_ms:.4g} ms; {paths})"

    @property
    def status_counts(self) -> dict[str, int]:
        """Number of rows by how they ended."""
        counts = {status.value: int((self.status == status).sum()) for status in Status}
        return {name: n for name, n in counts.items() if n}


def prediction_of(
    walk: Reached,
    ready: ReadyPolicy,
    request: Request,
    postprocess: Postprocess,
    now: Callable[[], float],
    *,
    wait_ms: float = 0.0,
    final: bool = True,
    is_shared: bool = False,
) -> Prediction:
    """The answer of a walk that waited ``wait_ms`` for the lane; a shared one, or one that goes on, keeps its state to itself."""
    answer = OpenPrediction()
    if walk.evidence_set:
        # `ready.pooled` written out: a call less is a twentieth of a microsecond.
        state, confidence = walk.state, walk.confidence
        index, probs = int(state[-1]), state[ready.pooled_part]
    else:
        index, probs = int(ready.prior.argmax()), ready.prior.copy()
        confidence = float(ready.prior.max())
    if confidence < request.terms.abstain_below:
        answer.label, answer.status = None, _ABSTAINED
    else:
        label = ready.classes[index]
        answer.label = label if postprocess is None else postprocess(label)
        answer.status = _DEGRADED if walk.is_degraded else _ANSWERED
    answer.probs = probs.copy() if is_shared else probs
    answer.confidence, answer.path, answer.queue_wait_ms = confidence, walk.path, wait_ms
    answer.from_cache, answer.final, answer.id = walk.is_resumed, final, request.id
    start_ms, deadline_ms, end_ms = request.start_ms, request.deadline_ms, now()
    answer.budget_ms = None if deadline_ms == INFINITE else deadline_ms - start_ms
    answer.latency_ms, answer.in_time = end_ms - start_ms, end_ms <= deadline_ms
    answer.__class__ = Prediction  # type: ignore[assignment] # sealed: the same slots, without their setters
    return answer  # type: ignore[return-value] # it is one now


def answers_of(
    rows: Rows,
    ready: ReadyPolicy,
    request: Request,
    *,
    postprocess: Postprocess,
    now: Callable[[], float],
    ids: IntArray | None = None,
) -> BatchPrediction:
    """The answers of a batch."""
    start_ms, deadline_ms = request.start_ms, request.deadline_ms
    labels: NDArray[Any] = label_array(ready.classes)[rows.label_index]
    abstained = rows.confidence < request.terms.abstain_below
    if postprocess is not None or abstained.any():
        chosen = np.empty(len(labels), object)
        for i, index in enumerate(rows.label_index.tolist()):
            if not abstained[i]:
                chosen[i] = ready.classes[index] if postprocess is None else postprocess(ready.classes[index])
        labels = chosen
    status = np.full(len(labels), Status.ANSWERED, object)
    status[rows.degraded] = Status.DEGRADED
    status[abstained] = Status.ABSTAINED
    names = np.array([*(stage.name for stage in ready.stages), ""])
    paths = path_counts_of(rows.trace, tuple(stage.name for stage in ready.stages))
    end_ms = now()
    return BatchPrediction(
        labels,
        rows.confidence,
        rows.probs,
        names[rows.last_stage],
        status,
        np.full(len(labels), end_ms <= deadline_ms),
        paths,
        end_ms - start_ms,
        ids,
        rows.resumed,
    )
