"""The curve of accuracy against time that a cascade can reach, with its uncertainty and what it is compared with.

Pure but for `Frontier.save`, `Frontier.load` and `Frontier.to_html`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.core.arrays import frozen_amounts
from cascade.core.equality import equal_by_value
from cascade.core.frontier_files import Columns, read_columns, write_columns
from cascade.core.frontier_points import FrontierPoint, ReferencePoint
from cascade.core.frontier_words import CASCADE, ORACLE, SINGLE, in_html, in_text
from cascade.core.page_writer import page_writer
from cascade.core.records import FloatArray, IntArray
from cascade.errors import ConfigurationError, DataError, MissingExtra

if TYPE_CHECKING:
    from cascade.core.outcomes import Outcomes
    from cascade.core.policy import Policy

_COLUMNS = ("price", "budget_ms", "mean_ms", "mean_cost", "accuracy", "ci_low", "ci_high")
_REFERENCE_COLUMNS = _COLUMNS[2:]
_ABOUT = ("confidence", "n_items", "n_groups")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frontier:
    """Accuracy that a cascade reaches at each mean time, none of its points dominated by another.

    Made by `frontier` or `Frontier.load`. The arrays are read-only and of one length m; time and accuracy ascend.

    Attributes
    ----------
    price : ndarray, shape (m,)
        Price of a millisecond, in accuracy, that leads to the point.
    budget_ms : ndarray, shape (m,)
        The largest time, over the items, in which all stages of an item's path stay within their upper quantiles. With
        this budget and this price no path is cut short for lack of time.
    mean_ms, mean_cost : ndarray, shape (m,)
        Mean time in milliseconds and mean cost per item.
    accuracy : ndarray, shape (m,)
        Share of right answers.
    ci_low, ci_high : ndarray, shape (m,)
        Ends of the interval of the accuracy, for each point by itself.
    singles : tuple of ReferencePoint
        Every stage alone.
    oracle : ReferencePoint
        For every item the cheapest stage that is right, the cheapest of all where none is.
    confidence : float
        Of the intervals.
    n_items : int
    n_groups : int or None
        Number of groups, where items belong together.
    """

    price: FloatArray
    budget_ms: FloatArray
    mean_ms: FloatArray
    mean_cost: FloatArray
    accuracy: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    singles: tuple[ReferencePoint, ...]
    oracle: ReferencePoint
    confidence: float
    n_items: int
    n_groups: int | None = None

    def __post_init__(self) -> None:
        m = np.size(self.mean_ms)
        for name in _COLUMNS:
            object.__setattr__(self, name, frozen_amounts(getattr(self, name), name, (m,)))
        if not (np.all(np.diff(self.mean_ms) > 0.0) and np.all(np.diff(self.accuracy) > 0.0)):
            raise DataError("expected mean_ms and accuracy to ascend: sort the points and leave out those dominated")

    def __len__(self) -> int:
        """The number of points m."""
        return len(self.mean_ms)

    def __eq__(self, other: object) -> bool:
        """Equality by value."""
        if not isinstance(other, Frontier):
            return NotImplemented
        return all(equal_by_value(getattr(self, part.name), getattr(other, part.name)) for part in fields(self))

    @property
    def hull(self) -> tuple[ReferencePoint, ...]:
        """The single stages that a random mixture of two cannot beat, by time: corners of their upper convex hull."""
        corners: list[ReferencePoint] = []
        for single in sorted(self.singles, key=lambda point: (point.mean_ms, -point.accuracy)):
            if corners and single.accuracy <= corners[-1].accuracy:
                continue
            while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], single):
                corners.pop()
            corners.append(single)
        return tuple(corners)

    def at(self, *, mean_ms: float | None = None, cost: float | None = None) -> FrontierPoint:
        """The curve read at a mean time or at a mean cost, with straight lines between its points.

        What lies between two points is reached by sending a share of the items to either. ``price`` and ``budget_ms`` are
        those of the last point within what was asked, so that following them stays within.

        Parameters
        ----------
        mean_ms : float, optional
            Mean milliseconds per item.
        cost : float, optional
            Mean cost per item. Points that are dominated in cost are left out.

        Raises
        ------
        ConfigurationError
            Unless one of the two is given, and is not below where the curve begins. Beyond its end, the last point is
            returned: more time costs no accuracy.
        """
        if (mean_ms is None) == (cost is None):
            raise ConfigurationError(f"expected one of mean_ms and cost, got mean_ms={mean_ms} and cost={cost}")
        name, asked, along = ("mean_ms", mean_ms, self.mean_ms) if cost is None else ("cost", cost, self.mean_cost)
        points = non_dominated(along, self.accuracy)
        reached = along[points]
        if asked is None or not asked >= reached[0]:
            raise ConfigurationError(
                f"expected {name} of at least {reached[0]:.6g}, where the curve begins, got {asked}"
            )
        low = int(np.searchsorted(reached, asked, side="right")) - 1
        high = min(low + 1, len(points) - 1)
        share = 0.0 if high == low else (asked - reached[low]) / (reached[high] - reached[low])
        start, end = self._point(points[low]), self._point(points[high])
        between = [a + share * (b - a) for a, b in zip(start[2:], end[2:], strict=True)]
        return FrontierPoint(*start[:2], *between)

    def _point(self, at: int) -> list[float]:
        return [float(getattr(self, name)[at]) for name in _COLUMNS]

    def columns(self) -> Columns:
        """All there is as a table: one row per point, then the single stages, then the oracle; None where not defined.

        ``kind`` is "cascade", "single" or "oracle"; the confidence and the numbers of items and groups stand in every row.
        """
        references, m = (*self.singles, self.oracle), len(self)
        table: Columns = {
            "kind": [CASCADE] * m + [SINGLE] * len(self.singles) + [ORACLE],
            "name": [*[""] * m, *(point.name for point in references)],
        }
        for name in _COLUMNS:
            beyond = [getattr(point, name, None) for point in references]
            table[name] = [*getattr(self, name).tolist(), *beyond]
        return table | {name: [getattr(self, name)] * len(table["kind"]) for name in _ABOUT}

    def to_frame(self) -> Any:
        """A pandas ``DataFrame`` with the rows and columns of `columns`.

        Raises
        ------
        MissingExtra
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise MissingExtra(
                "expected pandas for a data frame, got none installed: pip install pandas, or use columns()"
            ) from error
        return DataFrame(self.columns())

    def save(self, path: str | Path) -> None:
        """Write a table to a ``.csv`` file, or arrays to an ``.npz`` file; `load` makes an equal curve of either.

        Raises
        ------
        ConfigurationError
            If the path ends otherwise.
        """
        write_columns(Path(path), self.columns())

    @classmethod
    def load(cls, path: str | Path) -> Frontier:
        """The curve that `save` wrote.

        Raises
        ------
        ConfigurationError
            If the path ends neither in ``.csv`` nor in ``.npz``.
        DataError
            If the file is missing, damaged, or holds something else.
        """
        table = read_columns(Path(path), ("kind", "name"))
        try:
            return cls(**_fields_of(table))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"expected a frontier as Frontier.save writes it at {path}, got a damaged one: {error!r}"
            ) from error

    def to_html(
        self,
        path: str | Path,
        *,
        policy: Policy | None = None,
        outcomes: Outcomes | None = None,
        inputs: Any = None,
        title: str = "What a latency budget buys",
        progress: bool = True,
    ) -> None:
        """Write a page on which sliders set budget, load and the accuracy wanted: one file that works offline.

        Parameters
        ----------
        path : str or Path
        policy, outcomes : Policy and Outcomes, optional
            Show what the policy does on these items, with its plan, its thresholds and its paths; else the curve alone.
        inputs : array, tensor, frame or sequence of n rows, optional
            The items themselves, as examples: pictures where they are, else numbers or texts.
        title : str
        progress : bool
            Show a progress bar on standard error when the work is long.

        Raises
        ------
        ConfigurationError
            If a policy comes without outcomes, or either of the others without a policy.
        PolicyMismatch
            If the outcomes are of other stages or classes than the policy.
        DataError
            If there is not one input for each item.
        """
        write = page_writer()
        write(self, path, policy=policy, outcomes=outcomes, inputs=inputs, title=title, progress=progress)

    def __repr__(self) -> str:
        times = f"{self.mean_ms[0]:.4g} to {self.mean_ms[-1]:.4g} ms"
        return f"Frontier({len(self)} points, {times}, accuracy {self.accuracy[0]:.4f} to {self.accuracy[-1]:.4f}, {self.n_items} items)"

    def __str__(self) -> str:
        return in_text(self.columns(), repr(self), {point.name for point in self.hull})

    def _repr_html_(self) -> str:
        return in_html(self.columns(), repr(self), {point.name for point in self.hull})


def non_dominated(along: FloatArray, accuracy: FloatArray) -> IntArray:
    """Places of the points that no other equals in accuracy with as little, ascending in both.

    Examples
    --------
    >>> non_dominated(np.array([3.0, 1.0, 2.0]), np.array([0.9, 0.8, 0.7])).tolist()
    [1, 0]
    """
    order = np.lexsort((-accuracy, along))
    best = np.maximum.accumulate(accuracy[order])
    return np.asarray(order[np.diff(best, prepend=-1.0) > 0.0], np.int64)


def _slope(start: ReferencePoint, end: ReferencePoint) -> float:
    return (end.accuracy - start.accuracy) / (end.mean_ms - start.mean_ms)


def _fields_of(table: Columns) -> dict[str, Any]:
    """The fields of a curve from the table that `Frontier.columns` makes."""
    places: dict[str, list[int]] = {CASCADE: [], SINGLE: [], ORACLE: []}
    for i, kind in enumerate(table["kind"]):
        places[kind].append(i)
    curve = {name: np.array([table[name][i] for i in places[CASCADE]], np.float64) for name in _COLUMNS}
    references = [
        ReferencePoint(table["name"][i], *(float(table[name][i]) for name in _REFERENCE_COLUMNS))
        for i in places[SINGLE] + places[ORACLE]
    ]
    confidence, n_items, n_groups = (table[name][0] for name in _ABOUT)
    return curve | {
        "singles": tuple(references[:-1]),
        "oracle": references[-1],
        "confidence": float(confidence),
        "n_items": int(n_items),
        "n_groups": None if n_groups is None else int(n_groups),
    }
