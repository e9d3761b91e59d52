"""What a caller hands in: inputs, budgets and terms are checked here, once, with errors that say what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cascade.core.guarantee import check_overload
from cascade.core.inputs import InputSpec
from cascade.core.kernels import all_finite, item_is_finite
from cascade.core.rows import as_batch, n_rows
from cascade.errors import ConfigurationError, EmptyBatch, InputMismatch, NotFinite
from cascade.runtime.ready import INFINITE
from cascade.runtime.single import Terms
from cascade.scheduling.messages import Priority

_ARRAY = np.ndarray
_PRIORITIES = {priority.name.lower(): priority for priority in Priority}
_INFEASIBLE = ("fastest", "raise", "prior")
_BRIEF = 1 << 18
"""Numbers that are checked in less time than other threads notice."""


def checked_terms(infeasible: str, abstain_below: float | None, on_overload: str = "degrade") -> Terms:
    """The terms of a request.

    Raises
    ------
    ConfigurationError
        If a value is not one of those that work.
    """
    if infeasible not in _INFEASIBLE:
        raise ConfigurationError(f"expected infeasible to be one of {_INFEASIBLE}, got {infeasible!r}")
    threshold = 0.0 if abstain_below is None else float(abstain_below)
    if not 0.0 <= threshold <= 1.0:
        raise ConfigurationError(f"expected abstain_below in [0, 1] or None, got {abstain_below!r}")
    check_overload(on_overload)
    return Terms(infeasible, threshold, on_overload)


def priority_of(name: str) -> Priority:
    """The class of a request.

    Raises
    ------
    ConfigurationError
        If there is no such class.
    """
    priority = _PRIORITIES.get(name)
    if priority is None:
        raise ConfigurationError(f"expected priority to be one of {tuple(_PRIORITIES)}, got {name!r}")
    return priority


def deadline_of(start_ms: float, budget_ms: float | None, deadline_ms: float | None) -> float:
    """The instant by which an answer is wanted; infinite for no deadline.

    Raises
    ------
    ConfigurationError
        If the budget is negative or not a number, or both a budget and a deadline are given.
    """
    if budget_ms is None:
        if deadline_ms is None:
            return INFINITE
        if math.isnan(deadline_ms):
            raise ConfigurationError("expected deadline_ms as an instant on the predictor's clock, got NaN")
        return float(deadline_ms)
    if deadline_ms is not None:
        raise ConfigurationError(f"expected budget_ms or deadline_ms, got both: {budget_ms} and {deadline_ms}")
    if not budget_ms >= 0.0:
        raise ConfigurationError(f"expected budget_ms >= 0, or None for no deadline, got {budget_ms}")
    return start_ms + budget_ms


class InputCheck:
    """Makes batches of what a caller hands in, and refuses what the stages were not fitted on.

    Parameters
    ----------
    spec : InputSpec or None
        Shape and dtype of one item, after preprocessing; None accepts anything.
    check_finite : bool
        Refuse NaN and infinity in float arrays.

    Attributes
    ----------
    version : str
        What is checked.
    """

    __slots__ = ("_check_finite", "_dtype", "_is_finite", "_shape", "_spec", "version")

    def __init__(self, spec: InputSpec | None, check_finite: bool) -> None:
        self._spec = spec
        self._shape = None if spec is None else spec.shape
        self._dtype = _numpy_dtype(spec)
        self._check_finite, self.version = check_finite, f"{spec!r}, finite: {check_finite}"
        floating = check_finite and self._dtype is not None and self._dtype.kind == "f"
        self._is_finite = _finite_check(self._dtype, math.prod(self._shape or ())) if floating else None

    def one(self, x: Any, preprocess: Callable[[Any], Any] | None) -> Any:
        """A batch of one item, preprocessed and checked."""
        if preprocess is None and type(x) is _ARRAY:
            if x.shape == self._shape and x.dtype == self._dtype:
                if self._is_finite is not None and not self._is_finite(x.ravel()):
                    raise _not_finite()
                return x[None]
            if self._shape is None:
                self._check_numbers(x)
                return x[None]
        batch = as_batch(x)
        if preprocess is not None:
            batch = preprocess(batch)
        self.check(batch)
        return batch

    def many(self, inputs: Any, preprocess: Callable[[Any], Any] | None) -> Any:
        """A batch, preprocessed and checked.

        Raises
        ------
        EmptyBatch
            If there are no rows.
        """
        if n_rows(inputs) == 0:
            raise EmptyBatch("expected at least one row, got none: check the input before calling")
        batch = inputs if preprocess is None else preprocess(inputs)
        self.check(batch)
        return batch

    def check(self, batch: Any) -> None:
        """Raise unless the batch is like what was fitted.

        Raises
        ------
        InputMismatch
            If shape or dtype differ.
        NotFinite
            If a float is NaN or infinite.
        """
        if self._shape is not None:
            if not hasattr(batch, "shape"):
                raise InputMismatch(
                    f"expected arrays of shape {self._shape} and dtype {self._spec and self._spec.dtype}, as fitted, "
                    f"got a {type(batch[0]).__name__}: convert the input with numpy.asarray"
                )
            if batch.shape[1:] != self._shape or not self._same_dtype(batch):
                raise InputMismatch(
                    f"expected an item of shape {self._shape} and dtype {self._spec and self._spec.dtype}, as fitted, "
                    f"got shape {tuple(batch.shape[1:])} and dtype {batch.dtype}: reshape or convert the input"
                )
        if type(batch) is _ARRAY:
            self._check_numbers(batch)

    def _check_numbers(self, numbers: Any) -> None:
        """Of an array of any shape."""
        dtype = numbers.dtype
        if self._check_finite and dtype.kind == "f" and not _finite_check(dtype, numbers.size)(numbers.ravel()):
            raise _not_finite()

    def warm_up(self) -> None:
        """Load the compiled check for arrays that may be written to, and for those that may not."""
        if self._is_finite is not None:
            frozen = np.zeros(1, self._dtype)
            self._is_finite(frozen)
            frozen.flags.writeable = False
            self._is_finite(frozen)

    def _same_dtype(self, batch: Any) -> bool:
        if type(batch) is np.ndarray:
            return bool(self._dtype is None or batch.dtype == self._dtype)
        return self._spec is None or str(batch.dtype).removeprefix("torch.") == self._spec.dtype


def sample_inputs(spec: InputSpec | None) -> Any:
    """Made-up inputs of the fitted shape and dtype; None where none can be made up."""
    dtype = _numpy_dtype(spec)
    if spec is None or spec.shape is None or dtype is None or dtype.kind not in "fiub":
        return None
    rng = np.random.default_rng(0)
    if dtype.kind == "f":
        return rng.random((32, *spec.shape)).astype(dtype)
    return rng.integers(0, 2, (32, *spec.shape)).astype(dtype)


def _numpy_dtype(spec: InputSpec | None) -> Any:
    try:
        return None if spec is None or spec.dtype is None else np.dtype(spec.dtype)
    except TypeError:
        return None


def _finite_check(dtype: Any, size: int) -> Callable[[Any], bool]:
    """What says whether a flat array of a floating dtype is finite; the compiled kernels know no half precision."""
    if dtype.itemsize < 4:
        return lambda flat: bool(np.isfinite(flat).all())
    return item_is_finite if size <= _BRIEF else all_finite


def _not_finite() -> NotFinite:
    return NotFinite(
        "expected finite inputs, got NaN or infinity: clean them, or pass check_finite=False if the stages can take them"
    )
