"""Send the requests of a workload to a predictor at their instants, and note what becomes of each."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

import numpy as np
from harness.others import cores_of_others

from cascade.clock import MonotonicClock
from cascade.core.records import Prediction
from cascade.errors import OverloadError
from cascade.predictor import Predictor
from cascade.simulation.workloads import Workload

LATE_MS = 2.0
_BEFORE_MS = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """What became of m requests, in the order of their arrival.

    Attributes
    ----------
    late_ms : ndarray, shape (m,)
        End of each request, as whoever waits for it sees it, after its deadline; negative if it was in time.
    is_answered, correct : ndarray of bool, shape (m,)
        Whether there was an answer, and whether it was right.
    sent_late_ms : ndarray, shape (m,)
        How much later than meant each request was sent; its deadline does not wait for that.
    cores_of_others : float or None
        How many cores other processes kept busy meanwhile.
    """

    late_ms: np.ndarray
    is_answered: np.ndarray
    correct: np.ndarray
    sent_late_ms: np.ndarray
    cores_of_others: float | None

    @property
    def effective_accuracy(self) -> float:
        """Share of right answers in time over all requests."""
        return float((self.correct & (self.late_ms <= 0.0)).mean())

    @property
    def slo_attainment(self) -> float:
        """Share of answers in time over all requests."""
        return float((self.is_answered & (self.late_ms <= 0.0)).mean())

    @property
    def late_share(self) -> float:
        """Share of the answers that came after their deadline, however little."""
        return self._share_after(0.0)

    @property
    def much_late_share(self) -> float:
        """Share of the answers that came more than 2 ms after their deadline."""
        return self._share_after(LATE_MS)

    def _share_after(self, allowed_ms: float) -> float:
        late_ms = self.late_ms[self.is_answered]
        return float((late_ms > allowed_ms).mean()) if len(late_ms) else 0.0


def served_live(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, workload: Workload, *, is_strict: bool = False
) -> Live:
    """Send a workload from this thread, and wait for the last outcome.

    What is in memory before is left alone by the garbage collector, as in a service that freezes it after its start.
    """
    clock, n = MonotonicClock(), workload.n_requests
    ended: list[tuple[int, float, Future[Prediction]]] = []
    sent_ms, all_ended = np.empty(n), Event()

    def end(i: int, future: Future[Prediction]) -> None:
        ended.append((i, clock.now_ms(), future))
        if len(ended) == n:
            all_ended.set()

    gc.collect()
    gc.freeze()
    others = cores_of_others()
    begin_ms = clock.now_ms() + _BEFORE_MS
    due_ms = (begin_ms + workload.arrival_ms).tolist()
    asked = zip(due_ms, workload.budget_ms.tolist(), workload.item.tolist(), strict=True)
    for i, (at_ms, budget_ms, item) in enumerate(asked):
        clock.wait(at_ms - clock.now_ms())
        sent_ms[i] = clock.now_ms()
        predictor.submit(images[item], deadline_ms=at_ms + budget_ms, strict=is_strict).add_done_callback(
            partial(end, i)
        )
    all_ended.wait()
    late_ms, is_answered, correct = _outcomes(ended, labels, workload, begin_ms)
    return Live(late_ms, is_answered, correct, sent_ms - begin_ms - workload.arrival_ms, others())


def _outcomes(
    ended: list[tuple[int, float, Future[Prediction]]], labels: np.ndarray, workload: Workload, begin_ms: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = workload.n_requests
    deadline_ms = begin_ms + workload.arrival_ms + workload.budget_ms
    late_ms, is_answered, correct = np.empty(n), np.zeros(n, bool), np.zeros(n, bool)
    for i, end_ms, future in ended:
        late_ms[i] = end_ms - deadline_ms[i]
        error = future.exception()
        if error is None:
            is_answered[i], correct[i] = True, future.result().label == labels[workload.item[i]]
        elif not isinstance(error, OverloadError):
            raise error
    return late_ms, is_answered, correct


@contextmanager
def busy_thread(switch_ms: float) -> Iterator[None]:
    """A thread of pure Python that never waits, while the interpreter switches threads after so long."""
    before_s, stop = sys.getswitchinterval(), Event()

    def work() -> None:
        while not stop.is_set():
            for _ in range(10_000):
                pass

    thread = Thread(target=work)
    sys.setswitchinterval(switch_ms * 1e-3)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before_s)
