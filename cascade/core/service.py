"""How long every stage takes, per batch size: a table that is read, interpolated, scaled and saved.

Pure: this module knows no model and no clock. It is filled by `cascade.profiling` or from costs.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cascade.core.arrays import check_never_falls, frozen_amounts
from cascade.core.atoms import ATOM_WEIGHTS, three_atoms
from cascade.core.records import FloatArray
from cascade.errors import ConfigurationError

Stamp = Mapping[str, str | int | float]

LEVELS = (0.5, 0.9, 0.99, 0.999)
_FORMAT = "cascade.ServiceTable/1"
_FIELDS = ("stages", "batch_sizes", "mean_ms", "quantile_ms", "levels", "costs", "stamp")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceTable:
    """Service times of K stages at B batch sizes, as means and as quantiles at Q levels.

    Attributes
    ----------
    stages : tuple of str, or None
        Names of the K stages; None if they have none.
    batch_sizes : tuple of int, length B
        Profiled batch sizes, ascending; the first is 1.
    mean_ms : ndarray of shape (K, B)
        Mean time of a whole batch, in milliseconds; never falls as the batch grows.
    quantile_ms : ndarray of shape (Q, K, B)
        Quantiles of the time of a whole batch, in milliseconds; they never fall as the level or the
        batch grows.
    levels : tuple of float, length Q
        Levels of the quantiles, ascending, each in (0, 1).
    costs : ndarray of shape (K,)
        Cost per item in the user's own unit.
    stamp : mapping, or None
        Where and how the times were measured; None if they were not measured.

    Raises
    ------
    ConfigurationError, NotFinite
        If shapes disagree, an order is broken, or a time or cost is negative; if one is NaN or infinite.

    Examples
    --------
    >>> table = ServiceTable.from_costs([0.5, 4.0], stages=["small", "big"])
    >>> table.mean_at(1, batch_size=8)
    32.0
    >>> table.scaled(1.5).quantile_at(0, batch_size=1, level=0.99)
    0.75
    """

    stages: tuple[str, ...] | None
    batch_sizes: tuple[int, ...]
    mean_ms: FloatArray
    quantile_ms: FloatArray
    levels: tuple[float, ...] = LEVELS
    costs: FloatArray
    stamp: Stamp | None = None

    def __post_init__(self) -> None:
        """Copy, freeze and check every field."""
        put = object.__setattr__
        put(self, "batch_sizes", _checked_batch_sizes(self.batch_sizes))
        put(self, "levels", _checked_levels(self.levels))
        n_sizes, n_levels = len(self.batch_sizes), len(self.levels)
        put(self, "mean_ms", frozen_amounts(self.mean_ms, "mean_ms", (None, n_sizes)))
        n_stages = len(self.mean_ms)
        put(self, "quantile_ms", frozen_amounts(self.quantile_ms, "quantile_ms", (n_levels, n_stages, n_sizes)))
        put(self, "costs", frozen_amounts(self.costs, "costs", (n_stages,)))
        put(self, "stages", _checked_names(self.stages, n_stages))
        put(self, "stamp", _checked_stamp(self.stamp))
        check_never_falls(self.mean_ms, -1, "mean_ms", "batch size")
        check_never_falls(self.quantile_ms, -1, "quantile_ms", "batch size")
        check_never_falls(self.quantile_ms, 0, "quantile_ms", "level")

    def __eq__(self, other: object) -> bool:
        """Equality by value, stamp included."""
        if not isinstance(other, ServiceTable):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    @classmethod
    def from_costs(
        cls, costs: ArrayLike, time_ms: ArrayLike | None = None, *, stages: Sequence[str] | None = None
    ) -> ServiceTable:
        """A table of exact times that were thought up, not measured: a batch of n takes n times one item.

        Parameters
        ----------
        costs : array-like of shape (K,)
            Cost per item in any unit, not negative.
        time_ms : array-like of shape (K,), optional
            Milliseconds per item; the costs serve as times too if it is None.
        stages : sequence of str, optional
            Names of the stages.

        Raises
        ------
        ConfigurationError, NotFinite
            If the lengths disagree; if a value is negative, or is NaN or infinite.
        """
        amounts = frozen_amounts(costs, "costs", (None,))
        item_ms = amounts if time_ms is None else frozen_amounts(time_ms, "time_ms", amounts.shape)
        return cls(
            stages=None if stages is None else tuple(stages),
            batch_sizes=(1,),
            mean_ms=item_ms[:, None],
            quantile_ms=np.broadcast_to(item_ms[:, None], (len(LEVELS), item_ms.size, 1)),
            costs=amounts,
        )

    @property
    def n_stages(self) -> int:
        """The number of stages K."""
        return int(self.costs.size)

    def mean_at(self, stage_index: int, batch_size: int) -> float:
        """Mean milliseconds for one whole batch.

        Linear between profiled batch sizes; beyond the largest, proportional to the number of rows.

        Raises
        ------
        ConfigurationError
            If ``batch_size`` is below 1.
        """
        return float(_at_batch_size(self.mean_ms[stage_index], self.batch_sizes, batch_size))

    def quantile_at(self, stage_index: int, batch_size: int, level: float) -> float:
        """Milliseconds that one whole batch stays within, with probability ``level``.

        Linear between profiled batch sizes and between profiled levels; beyond the largest batch size,
        proportional to the number of rows; below the lowest level, the quantile of that level.

        Raises
        ------
        ConfigurationError
            If ``batch_size`` is below 1, or ``level`` is not in (0, highest profiled level].
        """
        if not 0.0 < level <= self.levels[-1]:
            raise ConfigurationError(f"expected a level in (0, {self.levels[-1]}], the highest profiled, got {level}")
        per_level = _at_batch_size(self.quantile_ms[:, stage_index], self.batch_sizes, batch_size)
        return float(np.interp(level, self.levels, per_level))

    def atoms(self, batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Three times per stage, with probabilities, that stand for the distribution of a batch's time.

        Returns
        -------
        values : ndarray of shape (K, 3)
            Milliseconds, ascending: typical of the faster half, of the next 40 %, of the slowest 10 %.
        weights : ndarray of shape (3,)
            Their probabilities, the same for every stage; ``values @ weights`` is the mean.

        Raises
        ------
        ConfigurationError
            If ``batch_size`` is below 1.
        """
        mean = _at_batch_size(self.mean_ms, self.batch_sizes, batch_size)
        quantiles = _at_batch_size(self.quantile_ms, self.batch_sizes, batch_size)
        return three_atoms(mean, quantiles, np.asarray(self.levels)), ATOM_WEIGHTS

    def scaled(self, factors: ArrayLike) -> ServiceTable:
        """The same table with every time multiplied: a slow-down per stage (K,), or one for all.

        Costs and stamp stay as they are.

        Raises
        ------
        ConfigurationError
            If a factor is not a positive finite number, or there are not K of them.
        """
        factor = np.asarray(factors, dtype=np.float64)
        if factor.shape not in ((), (self.n_stages,)):
            raise ConfigurationError(f"expected one factor or {self.n_stages}, one per stage, got shape {factor.shape}")
        if not (np.isfinite(factor).all() and (factor > 0.0).all()):
            raise ConfigurationError(f"expected positive finite factors, got {factor.tolist()}")
        per_stage = factor.reshape(-1, 1)
        return replace(self, mean_ms=self.mean_ms * per_stage, quantile_ms=self.quantile_ms * per_stage)

    def to_dict(self) -> dict[str, Any]:
        """The table as values that JSON knows; `from_dict` gives an equal table back."""
        return {"format": _FORMAT, **{name: _plain(getattr(self, name)) for name in _FIELDS}}

    @classmethod
    def from_dict(cls, data: Any) -> ServiceTable:
        """The table that `to_dict` wrote down.

        Raises
        ------
        ConfigurationError
            If ``data`` is of another format, incomplete, or describes an impossible table.
        """
        if not isinstance(data, Mapping) or data.get("format") != _FORMAT:
            raise ConfigurationError(f"expected a service table of format {_FORMAT!r}: profile the stages again")
        try:
            return cls(**{name: data[name] for name in _FIELDS})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"a service table is incomplete or damaged: {error}") from error

    def save(self, path: str | PathLike[str]) -> None:
        """Write the table to a JSON file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ServiceTable:
        """The table that `save` wrote.

        Raises
        ------
        ConfigurationError
            If the file is not JSON, or not a service table; the message names the file.
        FileNotFoundError
            If there is no such file.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"cannot read a service table from {str(path)!r}: {error}") from error


def _plain(value: Any) -> Any:
    """A field as JSON knows it."""
    match value:
        case np.ndarray():
            return value.tolist()
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
    return value


def _checked_batch_sizes(batch_sizes: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in batch_sizes)
    if not sizes or sizes[0] != 1 or any(low >= high for low, high in pairwise(sizes)):
        raise ConfigurationError(f"expected ascending batch sizes that begin with 1, got {tuple(batch_sizes)}")
    return sizes


def _checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    edges = (0.0, *(float(level) for level in levels), 1.0)
    if len(edges) < 3 or not all(low < high for low, high in pairwise(edges)):
        raise ConfigurationError(f"expected ascending levels, each in (0, 1), got {tuple(levels)}")
    return edges[1:-1]


def _checked_names(stages: Sequence[str] | None, n_stages: int) -> tuple[str, ...] | None:
    if stages is None:
        return None
    names = tuple(stages)
    if isinstance(stages, str) or len(names) != n_stages or len(set(names)) != n_stages:
        raise ConfigurationError(f"expected {n_stages} different stage names, got {stages!r}")
    return names


def _checked_stamp(stamp: Mapping[str, Any] | None) -> Stamp | None:
    """A plain dict, not a mapping proxy: tables must survive ``copy.deepcopy`` and pickling."""
    if stamp is None:
        return None
    for key, value in stamp.items():
        if not isinstance(value, str) and not (isinstance(value, int | float) and isfinite(value)):
            raise ConfigurationError(f"expected strings and finite numbers in the stamp, got {value!r} for {key!r}")
    return dict(stamp)


def _at_batch_size(values: FloatArray, batch_sizes: tuple[int, ...], batch_size: int) -> FloatArray:
    """Values (..., B) read at any batch size: (...)."""
    if batch_size < 1:
        raise ConfigurationError(f"expected a batch size of at least 1, got {batch_size}")
    largest = batch_sizes[-1]
    if batch_size >= largest:
        return np.asarray(values[..., -1] * (batch_size / largest))
    high = bisect_right(batch_sizes, batch_size)
    below, above = batch_sizes[high - 1], batch_sizes[high]
    share = (batch_size - below) / (above - below)
    start, end = values[..., high - 1], values[..., high]
    # without the minimum, rounding can carry a reading past the profiled size above it
    return np.asarray(np.minimum(start + share * (end - start), end))
