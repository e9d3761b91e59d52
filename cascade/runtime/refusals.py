"""What is raised for a request that has no answer, in words: what happened, how things stood, what to do."""

from __future__ import annotations

from cascade.errors import CascadeError, Expired, Rejected, Shed, StageError
from cascade.runtime.pending import Pending, Refused

_ADVICE = {
    "rejected": (Rejected, "was rejected", "allow more time, send less, or add lanes"),
    "shed": (
        Shed,
        "was shed",
        "send less, allow more time, add lanes, or let answers come from fewer stages with on_overload='degrade'",
    ),
    "expired": (
        Expired,
        "has expired",
        "allow more time, send less, or set infeasible='prior' for an answer without any stage",
    ),
}


def error_of(pending: Pending, refused: Refused) -> CascadeError:
    """The error for a request that was refused."""
    request = pending.request
    if refused.reason not in _ADVICE:
        error = StageError(f"no stage could answer ({refused.why}); the last to fail: {pending.fault}")
        error.__cause__ = pending.fault
        return error
    kind, verb, advice = _ADVICE[refused.reason]
    allowed = "no deadline" if request.deadline_ms == float("inf") else f"a budget of {request.budget_ms:.3g} ms"
    waited_ms = pending.stopped_ms - request.start_ms
    return kind(
        f"a request with {allowed} {verb} after {waited_ms:.3g} ms: {refused.why}; {refused.n_waiting} requests "
        f"wait, at a load price of {refused.price:.3g} accuracy per ms: {advice}"
    )
