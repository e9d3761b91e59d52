"""The nearest of many directions: by one matrix product, or among very many by hnswlib.

The owner serialises all calls but those of ``candidate``.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cascade.caching.keys import Token
from cascade.core.directions import Directions
from cascade.errors import MissingExtra

MOST_EXACT = 100_000
"""Entries up to which a matrix product takes milliseconds."""
_FIRST_ROWS = 16
_LINKS, _BUILD_EFFORT, _SEARCH_EFFORT = 16, 200, 64


class Index(Protocol):
    """Directions of one length, by token."""

    @property
    def n_bytes(self) -> int:
        """What it takes."""
        ...

    def add(self, token: Token, direction: Directions) -> None:
        """Take in a direction; its token is new."""
        ...

    def remove(self, token: Token) -> None:
        """Forget one that is there."""
        ...

    def candidate(self, direction: Directions) -> int:
        """Where the nearest seems to be; may be called while others change the index."""
        ...

    def nearest(self, direction: Directions, candidate: int) -> tuple[Token, float] | None:
        """The token of the nearest, and how alike they are; None where none was found."""
        ...

    def __len__(self) -> int: ...


class ExactIndex:
    """All directions in one matrix. O(n d) for a search.

    Parameters
    ----------
    dimension : int
    """

    def __init__(self, dimension: int) -> None:
        self._rows: Directions = np.empty((_FIRST_ROWS, dimension), np.float32)
        self._tokens: list[Token] = []
        self._places: dict[Token, int] = {}

    @property
    def n_bytes(self) -> int:
        """What the matrix takes."""
        return int(self._rows.nbytes)

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, token: Token, direction: Directions) -> None:
        """Take in a direction; its token is new."""
        n = len(self._tokens)
        if n == len(self._rows):
            grown = np.empty((2 * n, self._rows.shape[1]), np.float32)
            grown[:n] = self._rows
            self._rows = grown
        self._rows[n] = direction
        self._places[token] = n
        self._tokens.append(token)

    def remove(self, token: Token) -> None:
        """Forget one that is there: the last one takes its place."""
        place, last = self._places.pop(token), self._tokens.pop()
        if last != token:
            self._rows[place] = self._rows[len(self._tokens)]
            self._tokens[place] = last
            self._places[last] = place

    def candidate(self, direction: Directions) -> int:
        """The place of the nearest; -1 where there is none. A row that is being written may be taken for another one."""
        n = len(self._tokens)
        return int((self._rows[:n] @ direction).argmax()) if n else -1

    def nearest(self, direction: Directions, candidate: int) -> tuple[Token, float] | None:
        """The token at a place, and how alike it is as it stands there now."""
        if not 0 <= candidate < len(self._tokens):
            return None
        return self._tokens[candidate], float(self._rows[candidate] @ direction)


class ApproximateIndex:
    """A graph of near ones. A search is fast among millions, and now and then misses the nearest.

    Parameters
    ----------
    dimension : int

    References
    ----------
    Malkov and Yashunin (2018), Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small World Graphs.
    """

    def __init__(self, dimension: int) -> None:
        self._graph = _hnswlib().Index(space="ip", dim=dimension)
        self._capacity, self._dimension = 1024, dimension
        self._graph.init_index(
            max_elements=self._capacity, ef_construction=_BUILD_EFFORT, M=_LINKS, allow_replace_deleted=True
        )
        self._graph.set_ef(_SEARCH_EFFORT)
        self._graph.set_num_threads(1)
        self._tokens: dict[int, Token] = {}
        self._numbers: dict[Token, int] = {}
        self._next, self._n_removed = 0, 0

    @property
    def n_bytes(self) -> int:
        """What the graph takes, about: directions, and links to and fro."""
        return self._capacity * (4 * self._dimension + 12 * _LINKS)

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, token: Token, direction: Directions) -> None:
        """Take in a direction; its token is new."""
        if len(self._tokens) + self._n_removed == self._capacity and not self._n_removed:
            self._capacity *= 2
            self._graph.resize_index(self._capacity)
        self._graph.add_items(direction[None], [self._next], replace_deleted=self._n_removed > 0)
        self._n_removed -= self._n_removed > 0
        self._tokens[self._next], self._numbers[token] = token, self._next
        self._next += 1

    def remove(self, token: Token) -> None:
        """Forget one that is there."""
        number = self._numbers.pop(token)
        del self._tokens[number]
        self._graph.mark_deleted(number)
        self._n_removed += 1

    def candidate(self, direction: Directions) -> int:  # noqa: ARG002 - an Index
        """Nothing: the graph is not searched while others change it."""
        return -1

    def nearest(self, direction: Directions, candidate: int) -> tuple[Token, float] | None:  # noqa: ARG002 - an Index
        """The token of one of the nearest, and how alike they are; None where none was found."""
        if not self._tokens:
            return None
        try:
            numbers, distances = self._graph.knn_query(direction[None], k=1)
        except RuntimeError:
            # Too few of those that are left can be reached.
            return None
        return self._tokens[int(numbers[0, 0])], 1.0 - float(distances[0, 0])


def index_for(dimension: int, max_entries: int) -> Index:
    """An index with room for so many."""
    return ExactIndex(dimension) if max_entries <= MOST_EXACT else ApproximateIndex(dimension)


def check_room(max_entries: int) -> None:
    """Raise unless there can be an index for so many.

    Raises
    ------
    MissingExtra
        If that takes hnswlib, and it is not installed.
    """
    if max_entries > MOST_EXACT:
        _hnswlib()


def _hnswlib() -> Any:
    try:
        import hnswlib
    except ImportError as error:
        raise MissingExtra(
            f"expected hnswlib to search among more than {MOST_EXACT:,} entries, and it is not installed: "
            f"pip install 'cascade-inference[neighbours]', or set max_entries to at most {MOST_EXACT}"
        ) from error
    return hnswlib
