"""Run stages over a labelled sample and collect what they say, as arrays.

Calls the stages it is handed and nothing else of the outside world but a progress bar on request.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.kernels import encode_logits, encode_probs
from cascade.core.records import FloatArray, StageLike, StageOutput
from cascade.core.rows import n_rows, take_rows
from cascade.errors import ConfigurationError, DataError, EmptyBatch, StageError, StageOutputError


@dataclass(frozen=True, slots=True)
class Recording:
    """What the stages said: class scores where all give scores, else labels and confidences."""

    log_probs: NDArray[np.float32] | None
    classes: tuple[Hashable, ...] | None
    labels: NDArray[np.object_]
    confidence: FloatArray


def predecessors(stages: Sequence[StageLike]) -> tuple[int, ...]:
    """Index of the stage each stage continues from, -1 for none.

    Raises
    ------
    ConfigurationError
        If there are no stages, if names repeat, or if a stage requires one that is not there before it.
    """
    names = [stage.name for stage in stages]
    if not names:
        raise ConfigurationError("expected at least one stage, got none")
    if len(set(names)) != len(names):
        raise ConfigurationError(f"expected distinct stage names, got {names}: pass name= to the duplicates")
    for j, stage in enumerate(stages):
        if stage.requires is not None and stage.requires not in names[:j]:
            raise ConfigurationError(
                f"stage {stage.name!r} continues from {stage.requires!r}: put that exit before it, got the order {names}"
            )
    return tuple(-1 if stage.requires is None else names.index(stage.requires) for stage in stages)


def run_stages(stages: Sequence[StageLike], inputs: Any, *, batch_size: int, progress: bool) -> Recording:
    """Every stage on every row, batch by batch."""
    n = n_rows(inputs)
    if n == 0:
        raise EmptyBatch("expected at least one row, got none")
    before = predecessors(stages)
    said: list[list[Any]] = [[] for _ in stages]
    for start in _with_progress(range(0, n, batch_size), progress):
        batch = take_rows(inputs, np.arange(start, min(start + batch_size, n)))
        carries: list[Any] = []
        for j, stage in enumerate(stages):
            carry_in = carries[before[j]] if before[j] >= 0 else None
            output, carry = run_checked(stage, batch, carry_in)
            carries.append(carry)
            said[j].append(output)
    return _collected(stages, said)


def run_checked(stage: StageLike, batch: Any, carry: Any = None) -> tuple[Any, Any]:
    """One call of a stage whose failures name the stage.

    Raises
    ------
    StageError
        If the model raises; the cause is attached.
    StageOutputError
        If the number of rows that come back differs from the number that went in.
    """
    try:
        output, carry_out = stage.run(batch, carry)
    except StageError:
        raise
    except Exception as error:
        raise StageError(f"stage {stage.name!r} raised {type(error).__name__}: {error}") from error
    rows = len(output.outputs) if isinstance(output, StageOutput) else output.shape[0]
    if rows != n_rows(batch):
        raise StageOutputError(
            f"stage {stage.name!r} returned {rows} rows for a batch of {n_rows(batch)}: it must answer every row"
        )
    return output, carry_out


def _with_progress(steps: range, progress: bool) -> Iterable[int]:
    if not progress:
        return steps
    from tqdm.auto import tqdm

    # Quiet for short work: the bar appears only after two seconds.
    bar: Iterable[int] = tqdm(steps, desc="recording", unit="batch", delay=2.0, leave=False)
    return bar


def _collected(stages: Sequence[StageLike], said: list[list[Any]]) -> Recording:
    if any(isinstance(outputs[0], StageOutput) for outputs in said):
        pairs = [_labels_and_confidence(stage, outputs) for stage, outputs in zip(stages, said, strict=True)]
        labels = np.empty((len(pairs[0][0]), len(pairs)), object)
        for j, (chosen, _) in enumerate(pairs):
            labels[:, j] = chosen
        return Recording(None, None, labels, np.stack([trust for _, trust in pairs], axis=1))
    tables = [np.concatenate(outputs) for outputs in said]
    classes = _common_classes(stages, tables)
    log_probs = np.empty((tables[0].shape[0], len(tables), len(classes)), np.float32)
    for j, (stage, table) in enumerate(zip(stages, tables, strict=True)):
        columns = None if stage.classes is None else [stage.classes.index(label) for label in classes]
        log_probs[:, j] = encoded_scores(stage, table if columns is None else np.ascontiguousarray(table[:, columns]))
    return Recording(log_probs, classes, np.empty((0, 0), object), np.empty((0, 0)))


def encoded_scores(stage: StageLike, table: Any) -> NDArray[np.float32]:
    """Log-probabilities (n, c) of a stage's scores.

    Raises
    ------
    StageOutputError
        If a score is not usable, with the likely cause.
    """
    encoded = np.empty(table.shape, np.float32)
    encode = encode_logits if stage.scores == "logits" else encode_probs
    if not encode(table, encoded):
        wanted = (
            "finite logits"
            if stage.scores == "logits"
            else "probabilities >= 0 with a positive sum (or say scores='logits')"
        )
        raise StageOutputError(
            f"stage {stage.name!r} returned scores that are not {wanted}: {_first_bad_row(stage.scores, table)}"
        )
    return encoded


def _first_bad_row(scores: str, table: Any) -> str:
    bad = ~np.isfinite(table).all(axis=1)
    if scores == "probs":
        bad |= (table < 0).any(axis=1) | (table.sum(axis=1) <= 0)
    row = int(np.argmax(bad))
    return f"row {row} is {np.array2string(np.asarray(table[row]), threshold=8, precision=3)}"


def _common_classes(stages: Sequence[StageLike], tables: Sequence[Any]) -> tuple[Hashable, ...]:
    widths = {stage.name: int(table.shape[1]) for stage, table in zip(stages, tables, strict=True)}
    if len(set(widths.values())) > 1:
        raise DataError(f"expected every stage to score the same classes, got these numbers of columns: {widths}")
    named = [stage for stage in stages if stage.classes is not None]
    width = next(iter(widths.values()))
    if not named:
        return tuple(range(width))
    first = named[0]
    for stage in named:
        if set(stage.classes or ()) != set(first.classes or ()):
            raise DataError(
                f"expected one set of classes, got {first.classes} from {first.name!r} and {stage.classes} from {stage.name!r}"
            )
    assert first.classes is not None
    if len(first.classes) != width:
        raise DataError(
            f"expected {width} classes, one per column of the scores, got {len(first.classes)} from {first.name!r}"
        )
    return first.classes


def _labels_and_confidence(stage: StageLike, outputs: list[Any]) -> tuple[list[Any], FloatArray]:
    if isinstance(outputs[0], StageOutput):
        chosen = [y.item() if isinstance(y, np.generic) else y for part in outputs for y in part.outputs]
        return chosen, np.concatenate([np.asarray(part.confidence, np.float64) for part in outputs])
    encoded = encoded_scores(stage, np.concatenate(outputs)).astype(np.float64)
    probs = np.exp(encoded)
    names = stage.classes or tuple(range(probs.shape[1]))
    return [names[k] for k in probs.argmax(axis=1)], probs.max(axis=1) / probs.sum(axis=1)
