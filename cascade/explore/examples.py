"""Inputs to show on the page: which ones, and as a picture or as text, within a bound.

Pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.records import IntArray
from cascade.core.rows import n_rows, take_rows
from cascade.errors import DataError
from cascade.explore.png import data_uri, is_image, pixels

N_EXAMPLES = 36
_MAX_PATHS = 9
_MAX_SIDE = 64
_MAX_LETTERS = 160
_N_NUMBERS = 6


def chosen_examples(policy: Policy, outcomes: Outcomes) -> IntArray:
    """Rows of the paths that most items take without a deadline: of each as many, over the range of confidence."""
    result = policy.replay(outcomes)
    n_paths = min(len(result.path_counts), _MAX_PATHS)
    each = N_EXAMPLES // n_paths
    rows: list[int] = []
    for path in range(n_paths):
        members = np.flatnonzero(result.path_index == path)
        members = members[np.argsort(-result.confidence[members], kind="stable")]
        rows += members[np.unique(np.linspace(0, len(members) - 1, each).round().astype(int))].tolist()
    return np.array(rows, np.int64)


def shown_inputs(inputs: Any, outcomes: Outcomes, rows: IntArray) -> list[dict[str, str]]:
    """Each of the rows as ``{"label": its true label}`` with a ``"picture"`` or a ``"text"``.

    Raises
    ------
    DataError
        If there is not one input for each item.
    InputMismatch
        If the inputs have no rows.
    """
    if n_rows(inputs) != outcomes.n_items:
        raise DataError(
            f"expected one input for each of the {outcomes.n_items} items of the outcomes, got {n_rows(inputs)}: "
            "hand in the rows that were recorded, in their order"
        )
    chosen = take_rows(inputs, rows)
    labels = [str(outcomes.classes[outcomes.labels[i]]) for i in rows]
    array = _as_array(chosen)
    if array is not None and is_image(array[0]):
        return [
            {"label": label, "picture": data_uri(image)}
            for label, image in zip(labels, pixels(array, _MAX_SIDE), strict=True)
        ]
    items = list(chosen) if array is None else list(array)
    return [{"label": label, "text": in_short(item)} for label, item in zip(labels, items, strict=True)]


def in_short(item: Any) -> str:
    """An input as a line of text: its own if it is one, else its first numbers.

    Examples
    --------
    >>> in_short(np.arange(64.0))
    '0, 1, 2, 3, 4, 5, … (64 numbers)'
    >>> in_short("a question")
    'a question'
    """
    if isinstance(item, np.ndarray) and item.dtype.kind in "fiub":
        flat = item.ravel()
        numbers = ", ".join(f"{float(value):.4g}" for value in flat[:_N_NUMBERS])
        return numbers if flat.size <= _N_NUMBERS else f"{numbers}, … ({flat.size} numbers)"
    text = " ".join(str(item).split())
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 1]}…"


def _as_array(batch: Any) -> np.ndarray[Any, Any] | None:
    """A batch of numbers as an array; None for anything else."""
    if hasattr(batch, "detach"):
        batch = batch.detach().cpu()
    if not hasattr(batch, "__array__"):
        return None
    array = np.asarray(batch)
    return array if array.dtype.kind in "fiub" else None
