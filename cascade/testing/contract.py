"""The contract that every stage must pass: what the rest of the package relies on, checked by running the stage."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cascade.core.records import StageOutput
from cascade.core.rows import n_rows, take_rows
from cascade.stages.base import RunnableStage


def check_stage(
    stage: RunnableStage,
    X: Any,
    *,
    n_classes: int | None = None,
    predecessor: RunnableStage | None = None,
    rtol: float = 1e-5,
) -> None:
    """Pass silently if a stage keeps the contract that cascades rely on.

    Parameters
    ----------
    stage : stage
        A `cascade.Stage`, or anything with its interface.
    X : batch of n >= 3 rows
        Inputs that the stage accepts, preferably all different.
    n_classes : int, optional
        Number of columns that the scores must have.
    predecessor : stage, optional
        The exit before, for an exit of a multi-exit network: then the stage is checked with its carries, too.
    rtol : float, default 1e-5
        Allowed difference between two computations of one score, relative to the largest score of the batch.

    Raises
    ------
    AssertionError
        If the contract is broken; the message says which clause, and how.

    Examples
    --------
    >>> from cascade.testing import FakeStage
    >>> check_stage(FakeStage("fake", [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]), np.arange(3), n_classes=2)
    """
    n = n_rows(X)
    _ensure(n >= 3, f"X needs at least 3 rows for these checks, got {n}")
    _check_attributes(stage)
    before = copy.deepcopy(X)
    answer, carry = stage.run(X)
    _ensure(_equal(before, X), "the stage wrote into its input; copy the batch before working in place")
    _check_answer(stage, answer, n, n_classes)

    def repeated(batch: Any, rows: Sequence[int], what: str) -> None:
        _ensure_same(answer, stage.run(batch)[0], rows, rtol, what)

    everything = range(n)
    repeated(X, everything, "a second run on the same batch gives other answers: the stage is not deterministic")
    backwards = np.arange(n)[::-1].copy()
    repeated(take_rows(X, backwards), backwards.tolist(), "permuting the rows does not permute the answers")
    for row in (0, n - 1):
        repeated(take_rows(X, np.array([row])), [row], f"a batch of row {row} alone differs from that row of the batch")
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(repeated, X, everything, "another thread gets other answers").result()
    _check_threads(stage)
    if carry is None:
        _ensure(
            stage.take(None, backwards) is None, "take(None, rows) must be None for a stage that carries nothing on"
        )
        _ensure(stage.join([None, None]) is None, "join of nothing must be None for a stage that carries nothing on")
    if predecessor is not None:
        _check_carries(stage, predecessor, X, answer, rtol)


def _check_attributes(stage: Any) -> None:
    _ensure(isinstance(stage.name, str) and bool(stage.name), f"name must be a non-empty string, got {stage.name!r}")
    _ensure(stage.scores in ("probs", "logits"), f'scores must be "probs" or "logits", got {stage.scores!r}')
    _ensure(
        isinstance(stage.fingerprint, str) and bool(stage.fingerprint),
        f"fingerprint must be a non-empty string, got {stage.fingerprint!r}",
    )
    _ensure(stage.fingerprint == stage.fingerprint, "fingerprint differs from one read to the next")
    _ensure(
        stage.requires is None or isinstance(stage.requires, str),
        f"requires must be None or the name of a stage, got {stage.requires!r}",
    )
    _ensure(isinstance(stage.device, str), f"device must be a string, got {stage.device!r}")
    classes = stage.classes
    _ensure(classes is None or isinstance(classes, tuple), f"classes must be None or a tuple, got {classes!r}")
    _ensure(classes is None or len(set(classes)) == len(classes), f"classes must be different labels, got {classes!r}")


def _check_answer(stage: RunnableStage, answer: Any, n: int, n_classes: int | None) -> None:
    if isinstance(answer, StageOutput):
        _check_output(answer, n)
        return
    _ensure(isinstance(answer, np.ndarray), f"run must return an array or a StageOutput, got a {type(answer).__name__}")
    _ensure(
        answer.ndim == 2 and len(answer) == n and answer.shape[1] >= 2,
        f"scores must have the shape (n, c) = ({n}, 2 or more), got {answer.shape}",
    )
    _ensure(answer.dtype in (np.float32, np.float64), f"scores must be float32 or float64, got {answer.dtype}")
    _ensure(answer.flags.c_contiguous, "scores must be C-contiguous; apply numpy.ascontiguousarray")
    _ensure(bool(np.isfinite(answer).all()), "scores must be finite, got NaN or infinity")
    c = answer.shape[1]
    _ensure(n_classes in (None, c), f"expected {n_classes} columns of scores, got {c}")
    _ensure(stage.classes is None or len(stage.classes) == c, f"{c} columns of scores for the classes {stage.classes}")
    if stage.scores == "probs":
        _ensure(bool((answer >= 0.0).all()), f"probs must not be negative, got {answer.min()}")
        sums = answer.sum(axis=1)
        _ensure(
            bool(np.allclose(sums, 1.0, atol=1e-4)), f"rows of probs must sum to 1, got {sums.min()} to {sums.max()}"
        )


def _check_output(output: StageOutput, n: int) -> None:
    for field in ("outputs", "confidence"):
        array = getattr(output, field)
        _ensure(
            isinstance(array, np.ndarray) and array.shape == (n,),
            f"StageOutput.{field} must be an array of shape ({n},), got {array!r}",
        )
    confidence = output.confidence
    _ensure(
        bool(((confidence >= 0.0) & (confidence <= 1.0)).all()),
        f"confidences must lie in [0, 1], got {confidence.min()} to {confidence.max()}",
    )


def _check_threads(stage: RunnableStage) -> None:
    before = stage.threads()
    _ensure(isinstance(before, int) and before >= 1, f"threads() must be at least 1, got {before!r}")
    with stage.limit_threads(before + 1):
        within = stage.threads()
    _ensure(within == before + 1, f"within limit_threads({before + 1}), threads() says {within}")
    _ensure(stage.threads() == before, f"limit_threads left {stage.threads()} threads behind, there were {before}")
    stage.synchronise()


def _check_carries(stage: RunnableStage, predecessor: RunnableStage, X: Any, answer: Any, rtol: float) -> None:
    _ensure(
        stage.requires == predecessor.name, f"requires is {stage.requires!r}, the predecessor is {predecessor.name!r}"
    )
    n = n_rows(X)
    halves = [np.arange(1, n, 2), np.arange(0, n, 2)]
    order = np.concatenate(halves)
    _, carry = predecessor.run(X)
    joined = predecessor.join([predecessor.take(carry, half) for half in halves])

    def continued(rows: Sequence[int], handed_on: Any, what: str) -> None:
        batch = take_rows(X, np.array(rows))
        _ensure_same(answer, stage.run(batch, handed_on)[0], rows, rtol, what)

    continued(order.tolist(), joined, "join of two takes gives other answers than the rows computed from the input")
    for half in halves:
        taken = predecessor.take(carry, half)
        continued(
            half.tolist(), taken, "rows taken from a carry give other answers than the rows computed from the input"
        )
    continued(range(n), carry, "a carry gives other answers than the input")
    continued(range(n), carry, "a carry used a second time gives other answers")
    others = [predecessor.run(take_rows(X, half))[1] for half in halves]
    continued(order.tolist(), predecessor.join(others), "join of two runs gives other answers than the input")


def _ensure_same(whole: Any, part: Any, rows: Sequence[int], rtol: float, what: str) -> None:
    """``part`` must be the given rows of ``whole``."""
    index = np.asarray(rows)
    if isinstance(whole, StageOutput):
        _ensure(isinstance(part, StageOutput), f"{what}: a {type(part).__name__} instead of a StageOutput")
        expected = whole.outputs[index]
        _ensure(expected.tolist() == part.outputs.tolist(), f"{what}: expected {expected}, got {part.outputs}")
        whole, part = whole.confidence, part.confidence
    expected = whole[index]
    _ensure(expected.shape == part.shape, f"{what}: expected the shape {expected.shape}, got {part.shape}")
    allowed = rtol * float(np.abs(whole).max())
    difference = float(np.abs(expected - part).max())
    _ensure(difference <= allowed, f"{what}: they differ by {difference:.3g}, allowed is {allowed:.3g}")


def _equal(before: Any, after: Any) -> bool:
    """Whether a batch still is what its copy says."""
    if hasattr(before, "equals"):
        return bool(before.equals(after))
    if hasattr(before, "toarray"):
        before, after = before.toarray(), after.toarray()
    if hasattr(before, "detach"):
        before, after = before.detach().cpu().numpy(), after.detach().cpu().numpy()
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_equal, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_equal(value, after[key]) for key, value in before.items())
    # A copy of an object without an equality of its own always differs from it.
    kind: Any = type(before)
    return kind.__eq__ is object.__eq__ or bool(before == after)


def _ensure(holds: bool, message: str) -> None:
    # Not the statement: it vanishes under python -O.
    if not holds:
        raise AssertionError(message)
