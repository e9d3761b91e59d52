"""The fields of a table of outcomes: made from what a caller hands in, and checked.

Pure. Fields are a dictionary of the attributes of `Outcomes`, so that no module has to import another in a circle.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.labels import as_list, as_rows, class_numbers, shortened, sorted_labels, stage_names
from cascade.core.scores import as_numbers, checked_confidence, encoded_probs, top_classes
from cascade.errors import ConfigurationError, DataError, EmptyBatch, LabelMismatch, NotFinite

Fields = dict[str, Any]


def fields_of_probs(
    probs: Any, labels: Any, stages: Sequence[str] | None, classes: Sequence[Hashable] | None
) -> Fields:
    """Fields from class probabilities (n, K, c); raises as `Outcomes.from_probs`."""
    truth, table = some_labels(labels), as_numbers(probs, "probs")
    check_score_shape(table, "probs")
    names = stage_names(stages, table.shape[1])
    check_length(truth, table.shape[0])
    columns = tuple(range(table.shape[2])) if classes is None else tuple(classes)
    return fields_of_scores(encoded_probs(table, names), truth, names, columns)


def fields_of_scores(
    log_probs: NDArray[np.float32], truth: Sequence[Hashable], names: tuple[str, ...], classes: tuple[Hashable, ...]
) -> Fields:
    """Fields from log-probabilities (n, K, c) and the true labels (n,).

    Raises
    ------
    LabelMismatch
        If there is not one class per column, or a label is not among them.
    """
    if len(classes) != log_probs.shape[2]:
        raise LabelMismatch(
            f"expected {log_probs.shape[2]} classes, one per column of the scores, got {len(classes)}: {shortened(classes)}"
        )
    predicted, confidence = top_classes(log_probs)
    return {
        "stages": names,
        "classes": classes,
        "labels": class_numbers(truth, classes),
        "predicted": predicted,
        "confidence": confidence,
        "log_probs": log_probs,
        "requires": (-1,) * len(names),
    }


def fields_of_answers(
    labels_hat: Any,
    confidence: Any,
    labels: Any,
    *,
    stages: Sequence[str] | None,
    classes: Sequence[Hashable] | None = None,
) -> Fields:
    """Fields from labels and confidences (n, K); raises as `Outcomes.from_predictions`.

    Without ``classes`` these are the true labels in order, then those that were only said.
    """
    truth = some_labels(labels)
    said, shape = as_rows(labels_hat)
    trust = as_numbers(confidence, "confidence").astype(np.float64)
    if shape[1] == 0 or shape != trust.shape:
        raise DataError(f"expected labels_hat and confidence of one shape (n, K), got {shape} and {trust.shape}")
    check_length(truth, shape[0])
    names = stage_names(stages, shape[1])
    if classes is None:
        met = set(truth)
        classes = sorted_labels(truth) + sorted_labels([label for label in said if label not in met])
    return {
        "stages": names,
        "classes": tuple(classes),
        "labels": class_numbers(truth, classes),
        "predicted": class_numbers(said, classes).reshape(shape),
        "confidence": checked_confidence(trust, names),
        "log_probs": None,
        "requires": (-1,) * shape[1],
    }


def some_labels(labels: Any) -> list[Hashable]:
    """True labels as Python values.

    Raises
    ------
    EmptyBatch
        If there are none.
    """
    truth = as_list(labels)
    if not truth:
        raise EmptyBatch("expected at least one labelled item, got none: pass a non-empty y")
    return truth


def check_length(labels: Sequence[Hashable], n: int) -> None:
    """Raise `DataError` unless there is one label for each of ``n`` rows."""
    if len(labels) != n:
        raise DataError(f"expected one label per row, got {len(labels)} labels for {n} rows")


def check_score_shape(table: NDArray[Any], name: str) -> None:
    """Raise `DataError` unless the shape is (n, K, c) with at least one stage and two classes."""
    if table.ndim != 3 or table.shape[1] == 0 or table.shape[2] < 2:
        raise DataError(
            f"expected {name} of shape (n, K, c) with K >= 1 and c >= 2, got {table.shape}: stack the stages along axis 1"
        )


def check_fields(fields: Fields) -> None:
    """What a table of outcomes must satisfy, whoever made it.

    Raises
    ------
    EmptyBatch
        If there are no items.
    ConfigurationError
        If stage names repeat or their order contradicts ``requires``.
    DataError
        If an array is of another shape or dtype, or a value is out of range.
    """
    names, requires, k, c = fields["stages"], fields["requires"], len(fields["stages"]), len(fields["classes"])
    n = len(fields["labels"])
    if n == 0:
        raise EmptyBatch("expected at least one labelled item, got none: pass a non-empty y")
    if k == 0 or len(set(names)) != k:
        raise ConfigurationError(f"expected distinct stage names, at least one, got {names}: rename the duplicates")
    if len(requires) != k or not all(-1 <= before < j for j, before in enumerate(requires)):
        raise ConfigurationError(f"expected for each of {k} stages -1 or the index of an earlier one, got {requires}")
    if fields["fingerprints"] is not None and len(fields["fingerprints"]) != k:
        raise ConfigurationError(f"expected {k} fingerprints, one per stage, got {len(fields['fingerprints'])}")
    class_numbers((), fields["classes"])
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        "labels": (np.int64, (n,)),
        "predicted": (np.int64, (n, k)),
        "confidence": (np.float64, (n, k)),
    }
    if fields["log_probs"] is not None:
        wanted["log_probs"] = (np.float32, (n, k, c))
    for name, (dtype, shape) in wanted.items():
        array = fields[name]
        if array.dtype != dtype or array.shape != shape:
            raise DataError(
                f"expected {name} as {np.dtype(dtype)} of shape {shape}, got {array.dtype} of shape {array.shape}"
            )
    for name in ("labels", "predicted"):
        low, high = int(fields[name].min()), int(fields[name].max())
        if low < 0 or high >= c:
            raise LabelMismatch(f"expected {name} from 0 to {c - 1}, numbers of the classes, got {low} to {high}")
    checked_confidence(fields["confidence"], names)
    if fields["log_probs"] is not None and not np.isfinite(fields["log_probs"]).all():
        raise NotFinite("expected finite log_probs, got NaN or infinity: a probability of zero has a floor instead")
