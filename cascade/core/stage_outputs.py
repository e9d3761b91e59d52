"""What a stage returned while it was recorded: checked, and read as arrays.

Pure. Knows values that stages hand over, never the stages' models.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.kernels import encode_logits, encode_probs
from cascade.core.labels import as_list, shortened
from cascade.core.records import FloatArray, StageLike, StageOutput
from cascade.core.scores import as_numbers, top_classes
from cascade.errors import DataError, StageOutputError


@dataclass(frozen=True, slots=True)
class Answers:
    """Labels and their confidences, one for each row."""

    labels: list[Hashable]
    confidence: FloatArray


Said = NDArray[np.float32] | Answers


def check_rows(stage: StageLike, output: Any, n: int) -> None:
    """Refuse an output that is neither scores (n, c) nor n answers with n confidences.

    Raises
    ------
    StageOutputError
        Naming the stage and what it returned.
    """
    if isinstance(output, StageOutput):
        n_answers, n_confidences = _length(output.outputs), _length(output.confidence)
        if (n_answers, n_confidences) != (n, n):
            raise StageOutputError(
                f"stage {stage.name!r} returned {n_answers} answers and {n_confidences} confidences for a batch of {n} rows: "
                "it must give one of each for every row"
            )
        return
    if not isinstance(output, np.ndarray) or output.ndim != 2 or output.dtype.kind not in "fiu":
        got = f"a {type(output).__name__}"
        if isinstance(output, np.ndarray):
            got = f"an array of {output.dtype} of shape {output.shape}"
        raise StageOutputError(
            f"stage {stage.name!r} returned {got}: expected an array of scores (n, c), or StageOutput(outputs, confidence)"
        )
    if output.shape[0] != n:
        raise StageOutputError(
            f"stage {stage.name!r} returned {output.shape[0]} rows for a batch of {n}: it must answer every row"
        )


def _length(values: Any) -> int:
    return len(values) if getattr(values, "shape", None) != () and hasattr(values, "__len__") else 0


def check_alike(stage: StageLike, output: Any, first: Any) -> None:
    """Refuse an output of another kind or width than the stage's first one.

    Raises
    ------
    StageOutputError
        Naming both.
    """
    now, then = _kind(output), _kind(first)
    if now != then:
        raise StageOutputError(
            f"stage {stage.name!r} returned {now} for one batch and {then} for the first: every batch must be answered alike"
        )


def _kind(output: Any) -> str:
    return "labels with confidences" if isinstance(output, StageOutput) else f"{output.shape[1]} columns of scores"


def read_output(stage: StageLike, output: Any, start: int = 0) -> Said:
    """A batch's output in the form in which it is kept; ``start`` is its first row in the whole, for messages.

    Raises
    ------
    StageOutputError
        If a score is not usable, an answer is not hashable, or a confidence is not in [0, 1].
    """
    if not isinstance(output, StageOutput):
        return encoded_scores(stage, output, start)
    try:
        labels = as_list(output.outputs)
        trust = as_numbers(output.confidence, "confidences").astype(np.float64)
    except DataError as error:
        raise StageOutputError(f"stage {stage.name!r} returned answers that cannot be used: {error}") from error
    if trust.ndim != 1:
        raise StageOutputError(f"stage {stage.name!r} returned confidences of shape {trust.shape}: expected (n,)")
    outside = ~((trust >= 0.0) & (trust <= 1.0))
    if outside.any():
        row = int(np.argmax(outside))
        raise StageOutputError(
            f"stage {stage.name!r} returned a confidence of {trust[row]} for row {start + row}: expected a number in [0, 1]"
        )
    return Answers(labels, trust)


def encoded_scores(stage: StageLike, table: Any, start: int = 0) -> NDArray[np.float32]:
    """Log-probabilities (n, c) of a stage's scores; ``start`` is their first row in the whole, for messages.

    Raises
    ------
    StageOutputError
        If a score is not usable, with the likely cause.
    """
    encoded = np.empty(table.shape, np.float32)
    encode, wanted = encode_logits, "finite logits"
    if stage.scores == "probs":
        encode, wanted = encode_probs, "finite probabilities >= 0 with a positive sum (or say scores='logits')"
    if not encode(table, encoded):
        row = next(i for i in range(len(table)) if not encode(table[i : i + 1], encoded[i : i + 1]))
        shown = np.array2string(table[row], threshold=8, precision=3)
        raise StageOutputError(
            f"stage {stage.name!r} returned scores that are not {wanted}: row {start + row} is {shown}"
        )
    return encoded


def common_classes(stages: Sequence[StageLike], outputs: Sequence[Any]) -> tuple[Hashable, ...] | None:
    """The classes that all stages score; None if one gives labels instead of scores.

    Raises
    ------
    DataError
        If the stages differ in their classes, or a stage's classes do not fit its columns.
    """
    scoring = [(stage, out) for stage, out in zip(stages, outputs, strict=True) if not isinstance(out, StageOutput)]
    for stage, out in scoring:
        if stage.classes is not None and len(set(stage.classes)) != out.shape[1]:
            raise DataError(
                f"expected {out.shape[1]} distinct classes, one per column of the scores, got {shortened(stage.classes)} "
                f"from {stage.name!r}: give classes= in the order of the columns"
            )
    if len(scoring) < len(stages):
        return None
    widths = {stage.name: int(out.shape[1]) for stage, out in scoring}
    if len(set(widths.values())) > 1:
        raise DataError(f"expected every stage to score the same classes, got these numbers of columns: {widths}")
    named = [(stage.name, stage.classes) for stage in stages if stage.classes is not None]
    if not named:
        return tuple(range(widths[stages[0].name]))
    first, classes = named[0]
    for name, others in named:
        if set(others) != set(classes):
            raise DataError(
                f"expected one set of classes, got {shortened(classes)} from {first!r} and {shortened(others)} from {name!r}"
            )
    return classes


def joined_answers(stage: StageLike, parts: list[Said]) -> Answers:
    """What a stage said in all batches, as labels and confidences; scores give their most probable class."""
    labels, confidence = [], []
    for part in parts:
        if isinstance(part, Answers):
            labels += part.labels
            confidence.append(part.confidence)
        else:
            best, trust = top_classes(part[:, None])
            names = stage.classes or range(part.shape[1])
            labels += [names[k] for k in best[:, 0].tolist()]
            confidence.append(trust[:, 0])
    return Answers(labels, np.concatenate(confidence))
