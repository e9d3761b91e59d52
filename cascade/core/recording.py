"""Run stages over a labelled sample and collect what they say, as arrays.

Calls the stages it is handed and nothing else of the outside world but a progress bar on request.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.progress import with_progress
from cascade.core.records import FloatArray, StageLike
from cascade.core.rows import n_rows, take_rows
from cascade.core.stage_outputs import Said, check_alike, check_rows, common_classes, joined_answers, read_output
from cascade.errors import ConfigurationError, EmptyBatch, StageError


@dataclass(frozen=True, slots=True)
class Recording:
    """What the stages said: class scores where all give scores, else labels and confidences.

    Attributes
    ----------
    log_probs : ndarray of float32, shape (n, K, c), or None
    classes : tuple of hashable, or None
        The labels of the columns of ``log_probs``.
    labels : ndarray of object, shape (n, K); empty beside ``log_probs``
    confidence : ndarray of float64, shape (n, K); empty beside ``log_probs``
    """

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
    """Every stage on every row, batch by batch.

    Raises
    ------
    EmptyBatch
        If there are no rows.
    ConfigurationError
        If ``batch_size`` is below 1, or as `predecessors`.
    DataError
        If the stages differ in their classes.
    StageError
        As `run_checked`.
    StageOutputError
        As `encoded_scores`; or if a stage changes what it returns between batches.
    """
    n, before = n_rows(inputs), predecessors(stages)
    if n == 0:
        raise EmptyBatch("expected at least one row, got none")
    if batch_size < 1:
        raise ConfigurationError(f"expected batch_size of at least 1, got {batch_size}")
    first: list[Any] = []
    said: list[list[Said]] = [[] for _ in stages]
    for start in with_progress(range(0, n, batch_size), progress, desc="record", unit="batch"):
        batch = take_rows(inputs, np.arange(start, min(start + batch_size, n)))
        carries: list[Any] = []
        for j, stage in enumerate(stages):
            output, carry = run_checked(stage, batch, carries[before[j]] if before[j] >= 0 else None)
            carries.append(carry)
            if start == 0:
                first.append(output)
            check_alike(stage, output, first[j])
            said[j].append(read_output(stage, output, start))
        if start == 0:
            # At once: classes that differ would otherwise show after the last batch.
            classes = common_classes(stages, first)
    return _collected(stages, said, classes)


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
    check_rows(stage, output, n_rows(batch))
    return output, carry_out


def _collected(stages: Sequence[StageLike], said: list[list[Said]], classes: tuple[Hashable, ...] | None) -> Recording:
    if classes is None:
        pairs = [joined_answers(stage, parts) for stage, parts in zip(stages, said, strict=True)]
        labels = np.empty((len(pairs[0].labels), len(pairs)), object)
        for j, pair in enumerate(pairs):
            for i, label in enumerate(pair.labels):
                # One by one: as a column, labels that are tuples would be unpacked.
                labels[i, j] = label
        return Recording(None, None, labels, np.stack([pair.confidence for pair in pairs], axis=1))
    tables = []
    for stage, parts in zip(stages, said, strict=True):
        table = np.concatenate([part for part in parts if isinstance(part, np.ndarray)])
        in_order = stage.classes is None or stage.classes == classes
        tables.append(table if in_order else table[:, [(stage.classes or ()).index(label) for label in classes]])
    return Recording(np.stack(tables, axis=1), classes, np.empty((0, 0), object), np.empty((0, 0)))
