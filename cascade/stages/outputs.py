"""What a model returned, as the table of scores or the `StageOutput` that a stage promises.

Knows no framework: a tensor is recognised by what it can do. Shapes and types are checked here, values are
not: whether scores are finite is for whoever receives them to judge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.core.records import StageOutput
from cascade.errors import StageOutputError

_SINGLE = np.dtype(np.float32)
_DOUBLE = np.dtype(np.float64)
_LABEL_TYPES = (bool, int, float, str)


def as_scores(raw: Any, n: int | None, stage_name: str, n_classes: int | None) -> NDArray[Any] | StageOutput:
    """What any callable returned, in the form that a stage promises.

    Parameters
    ----------
    raw : array, tensor, nested list or StageOutput
        Scores (n, c), or one answer and one confidence per row.
    n : int or None
        Rows of the batch; None if they cannot be counted.
    stage_name : str
        For messages.
    n_classes : int or None
        Columns that the scores must have; None: any number from 2.

    Returns
    -------
    ndarray of float32 or float64, shape (n, c), C-contiguous; or StageOutput of two arrays of shape (n,)

    Raises
    ------
    StageOutputError
        If ``raw`` is not numeric, has another shape, or has a single column.
    """
    if isinstance(raw, StageOutput):
        return _checked_output(raw, n, stage_name)
    table = _as_floats(raw, stage_name)
    check_table(table, n, stage_name, n_classes)
    return table


def check_table(table: NDArray[Any], n: int | None, stage_name: str, n_classes: int | None) -> None:
    """Raise `StageOutputError` unless ``table`` has ``n`` rows and the right number of columns."""
    shape = table.shape
    if len(shape) != 2:
        raise StageOutputError(
            f"stage {stage_name!r}: expected scores of shape (n, c), one column per class, got {_described(table)}; "
            f"return a table, or StageOutput(outputs, confidence) where there are no scores per class"
        )
    if n is not None and shape[0] != n:
        raise StageOutputError(
            f"stage {stage_name!r}: expected one row of scores per item, {n} of them, got {_described(table)}"
        )
    if n_classes is not None and shape[1] != n_classes:
        raise StageOutputError(
            f"stage {stage_name!r}: expected one column of scores per class, {n_classes} of them, "
            f"got {_described(table)}; give the classes in the order of the model's columns"
        )
    if shape[1] < 2:
        raise StageOutputError(
            f"stage {stage_name!r}: expected at least two columns of scores, got {_described(table)}; "
            f"a single logit d of a binary model is the two columns (-d/2, d/2)"
        )


def _as_floats(raw: Any, stage_name: str) -> NDArray[Any]:
    """An array of float32 or float64, C-contiguous; not copied where it is one already."""
    try:
        array = _as_array(raw)
    except (TypeError, ValueError, RuntimeError) as error:
        raise StageOutputError(
            f"stage {stage_name!r}: expected scores of shape (n, c), got a {type(raw).__name__} "
            f"that is no array of numbers ({error})"
        ) from error
    if array.dtype not in (_SINGLE, _DOUBLE):
        if array.dtype.kind not in "biuf":
            raise StageOutputError(f"stage {stage_name!r}: expected scores that are numbers, got {_described(array)}")
        is_short = array.dtype.kind == "f" and array.dtype.itemsize <= _SINGLE.itemsize
        array = array.astype(_SINGLE if is_short else _DOUBLE)
    return np.ascontiguousarray(array)


def _as_array(raw: Any) -> NDArray[Any]:
    if hasattr(raw, "detach"):
        host = raw.detach().cpu()
        # NumPy has no bfloat16; every other tensor of numbers is float32 or converts as it is.
        return np.asarray(host.float().numpy() if "bfloat16" in str(host.dtype) else host.numpy())
    return np.asarray(raw)


def _checked_output(output: StageOutput, n: int | None, stage_name: str) -> StageOutput:
    outputs = _as_labels(output.outputs)
    confidence = _as_floats(output.confidence, stage_name)
    for field, array in (("outputs", outputs), ("confidence", confidence)):
        if array.ndim != 1 or (n is not None and len(array) != n):
            raise StageOutputError(
                f"stage {stage_name!r}: expected StageOutput.{field} of shape ({'n' if n is None else n},), "
                f"one entry per item, got {_described(array)}"
            )
    if len(outputs) != len(confidence):
        raise StageOutputError(
            f"stage {stage_name!r}: expected one confidence per output, "
            f"got {len(outputs)} outputs and {len(confidence)} confidences"
        )
    return StageOutput(outputs, confidence)


def _as_labels(outputs: Any) -> NDArray[Any]:
    """One answer per row; NumPy must neither unpack tuples nor turn the labels 1 and "a" into "1" and "a"."""
    if isinstance(outputs, np.ndarray):
        return outputs
    if hasattr(outputs, "detach"):
        return _as_array(outputs)
    labels = list(outputs)
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and kinds <= set(_LABEL_TYPES):
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def _described(array: NDArray[Any]) -> str:
    return f"an array of shape {array.shape} and dtype {array.dtype}"
