"""Stages whose answers are read from a table and whose service time passes on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.clock import Clock
from cascade.core.records import IntArray
from cascade.core.rows import n_rows
from cascade.errors import ConfigurationError
from cascade.stages.fingerprint import digest, function_fingerprint


class FakeStage:
    """A stage whose answers are read from a table and whose service time passes on a virtual clock.

    Parameters
    ----------
    name : str
    answers : array-like of shape (N, c), or callable
        Row i is the answer to an item with the value i: a batch is an array (n,) or (n, d) whose (first) column holds
        row indices. Or a function of the batch that returns scores (n, c) or a `StageOutput`.
    service_ms : float or callable, default 0
        Milliseconds per item, so that n items take n times as long; or a function from n to the milliseconds of a batch.
    clock : Clock, optional
        Waits for the service time of every run; None: runs take no time.
    scores : {"probs", "logits"}, default "probs"
    classes : sequence, optional
    version : str, optional
        The fingerprint. Default: a hash of name and answers.

    Attributes
    ----------
    batch_sizes : list of int
        Number of rows of every run so far, in order.

    Examples
    --------
    >>> from cascade.clock import VirtualClock
    >>> clock = VirtualClock()
    >>> stage = FakeStage("small", [[0.9, 0.1], [0.3, 0.7]], 2.0, clock)
    >>> stage.run(np.array([1, 0, 1]))[0].tolist()
    [[0.3, 0.7], [0.9, 0.1], [0.3, 0.7]]
    >>> clock.now_ms(), stage.batch_sizes
    (6.0, [3])
    """

    requires: str | None = None
    device = "cpu"

    def __init__(
        self,
        name: str,
        answers: ArrayLike | Callable[[Any], Any],
        service_ms: float | Callable[[int], float] = 0.0,
        clock: Clock | None = None,
        *,
        scores: str = "probs",
        classes: Sequence[Hashable] | None = None,
        version: str | None = None,
    ) -> None:
        self.name = name
        self.scores = scores
        self.classes = None if classes is None else tuple(classes)
        self.batch_sizes: list[int] = []
        self._function = answers if callable(answers) else _looked_up(np.array(answers, dtype=np.float64))
        self._service_ms = service_ms
        self._clock = clock
        self._n_threads = 1
        self.fingerprint = version or digest(name, function_fingerprint(self._function))

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:  # noqa: ARG002 - nothing to continue from
        """The given answers to the n rows of ``batch``, after their service time; carries nothing on."""
        n = n_rows(batch)
        self.batch_sizes.append(n)
        if self._clock is not None:
            self._clock.wait(self._service_ms(n) if callable(self._service_ms) else n * self._service_ms)
        return self._function(batch), None

    def take(self, carry: Any, rows: IntArray) -> Any:  # noqa: ARG002 - nothing to take from
        """None: there is no carry."""
        return None

    def join(self, carries: Sequence[Any]) -> Any:  # noqa: ARG002 - nothing to join
        """None: there is no carry."""
        return None

    def synchronise(self) -> None:
        """Return at once."""

    def threads(self) -> int:
        """The limit in force, 1 at first."""
        return self._n_threads

    @contextmanager
    def limit_threads(self, n: int) -> Iterator[None]:
        """Let `threads` say ``n`` for a while."""
        before, self._n_threads = self._n_threads, n
        try:
            yield
        finally:
            self._n_threads = before


class FakeExit(FakeStage):
    """A fake exit of a multi-exit network; it carries on which items it saw, and checks what it is handed.

    Parameters
    ----------
    requires : str or None
        Name of the exit before.
    *args, **keywords
        As for `FakeStage`; a batch must hold row indices.
    """

    def __init__(self, *args: Any, requires: str | None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.requires = requires

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        """The given answers, and the row indices as a carry.

        Raises
        ------
        AssertionError
            If the carry is not that of the batch's rows in their order.
        """
        items = _row_indices(batch)
        if carry is not None and not np.array_equal(carry, items):
            raise AssertionError(f"exit {self.name!r} was handed the carry of the items {carry} for the items {items}")
        return super().run(batch)[0], items

    def take(self, carry: Any, rows: IntArray) -> Any:
        """The row indices of the given rows."""
        return None if carry is None else carry[rows]

    def join(self, carries: Sequence[Any]) -> Any:
        """The row indices one after the other; None if any are missing."""
        return None if any(carry is None for carry in carries) else np.concatenate(list(carries))


def _row_indices(batch: Any) -> NDArray[np.int64]:
    return np.asarray(batch).reshape(n_rows(batch), -1)[:, 0].astype(np.int64)


def _looked_up(table: NDArray[np.float64]) -> Callable[[Any], NDArray[np.float64]]:
    if table.ndim != 2:
        raise ConfigurationError(f"expected a table of answers of shape (N, c), got the shape {table.shape}")

    def answer(batch: Any) -> NDArray[np.float64]:
        return table[_row_indices(batch)]

    return answer
