"""Traffic that never stops: futures at a given rate, some of them cancelled, beside threads and coroutines that wait for answers.

Every request is counted when it is sent and when it ends, and nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from concurrent.futures import CancelledError, Future
from functools import partial
from itertools import count
from threading import Event, Lock, Thread
from typing import Any

import numpy as np

from cascade.core.records import Prediction
from cascade.errors import CascadeError, Expired, NotFinite, Rejected, Shed, StageError
from cascade.predictor import Predictor

ENDINGS = {Rejected: "rejected", Expired: "expired", Shed: "shed", StageError: "failed", CancelledError: "cancelled"}
BUDGETS_MS, BUDGET_SHARES = (20.0, 50.0, 200.0), (0.2, 0.6, 0.2)
PRIORITIES, PRIORITY_SHARES = ("interactive", "normal", "background"), (0.2, 0.7, 0.1)
STRICT_SHARE, CANCELLED_SHARE, BAD_SHARE = 0.1, 0.05, 0.001
VARIATION = 2.0
"""Standard deviation over mean of the times between arrivals."""
CHUNK, IN_FLIGHT, THINK_S, PATIENCE_S = 1024, 64, 0.005, 0.02
N_THREADS, N_COROUTINES = 2, 8


class Tally:
    """What was sent, and how it ended; each request has a byte that says how often it has."""

    def __init__(self, n_most: int) -> None:
        # Written to now, so that memory does not grow by it later on.
        self.ended = bytearray(b"\x00" * n_most)
        self._numbers, self._lock = count(), Lock()
        self.endings: Counter[str] = Counter()
        self.n_sent = self.n_impatient = self.n_bad = 0

    def sent(self) -> int:
        """The number of a new request."""
        with self._lock:
            self.n_sent += 1
            return next(self._numbers)

    def not_sent(self, number: int) -> None:
        """It was refused at the door, as its input could not be used."""
        with self._lock:
            self.n_bad += 1
            self.ended[number] += 1

    def end(self, number: int, ending: str) -> None:
        """It has ended."""
        with self._lock:
            self.ended[number] += 1
            self.endings[ending] += 1

    def end_future(self, number: int, future: Future[Prediction]) -> None:
        """Its future is done."""
        self.end(number, "cancelled" if future.cancelled() else ending_of(future.exception()))

    def is_whole(self) -> bool:
        """Whether everything that was sent has ended exactly once."""
        return all(n == 1 for n in self.ended[: self.n_sent])


def ending_of(error: BaseException | None) -> str:
    """In the words of `Stats`; of an error that no request should end with, its name."""
    if error is None:
        return "answered"
    return next((ending for kind, ending in ENDINGS.items() if isinstance(error, kind)), type(error).__name__)


class Traffic:
    """Asks a predictor until it is stopped."""

    def __init__(self, predictor: Predictor, rows: np.ndarray, rate_rps: float, tally: Tally) -> None:
        self._predictor, self._rows, self._rate_rps, self.tally = predictor, rows, rate_rps, tally
        self._stop = Event()
        self._errors: list[BaseException] = []
        self._threads = [Thread(target=self._guarded, args=(self._send_futures,))]
        self._threads += [Thread(target=self._guarded, args=(self._ask_in_turn, seed)) for seed in range(N_THREADS)]
        self._threads.append(Thread(target=self._guarded, args=(self._run_loop,)))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; raises what ended one of the threads early."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended one of the threads early."""
        if self._errors:
            raise self._errors[0]

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._errors.append(error)

    def _send_futures(self) -> None:
        rng, latest = np.random.default_rng(0), deque[Future[Prediction]](maxlen=IN_FLIGHT)
        submit, bad = self._predictor.submit, np.full_like(self._rows[0], np.nan)
        shape, scale_s = VARIATION**-2, VARIATION**2 / self._rate_rps
        due_s = time.perf_counter()
        while not self._stop.is_set():
            for gap_s, chance, budget_ms, priority, row in zip(
                rng.gamma(shape, scale_s, CHUNK).tolist(),
                rng.random(CHUNK).tolist(),
                rng.choice(BUDGETS_MS, CHUNK, p=BUDGET_SHARES).tolist(),
                rng.choice(PRIORITIES, CHUNK, p=PRIORITY_SHARES).tolist(),
                rng.integers(0, len(self._rows), CHUNK).tolist(),
                strict=True,
            ):
                due_s += gap_s
                if (early_s := due_s - time.perf_counter()) > 0.0:
                    time.sleep(early_s)  # noqa: TID251 - wall clock is what this is about
                number = self.tally.sent()
                x = bad if chance > 1.0 - BAD_SHARE else self._rows[row]
                try:
                    future = submit(x, budget_ms=budget_ms, priority=priority, strict=chance < STRICT_SHARE)
                except NotFinite:
                    self.tally.not_sent(number)
                    continue
                future.add_done_callback(partial(self.tally.end_future, number))
                latest.append(future)
                if STRICT_SHARE < chance < STRICT_SHARE + CANCELLED_SHARE:
                    latest[int(chance * 1e6) % len(latest)].cancel()

    def _ask_in_turn(self, seed: int) -> None:
        rng = np.random.default_rng([1, seed])
        while not self._stop.is_set():
            number, x = self.tally.sent(), self._rows[int(rng.integers(len(self._rows)))]
            try:
                self._predictor.predict(x, budget_ms=50.0, strict=bool(rng.random() < STRICT_SHARE))
            except CascadeError as error:
                self.tally.end(number, ending_of(error))
            else:
                self.tally.end(number, "answered")
            self._stop.wait(THINK_S)

    def _run_loop(self) -> None:
        async def all_clients() -> None:
            await asyncio.gather(*[self._await_in_turn(seed) for seed in range(N_COROUTINES)])

        asyncio.run(all_clients())

    async def _await_in_turn(self, seed: int) -> None:
        rng = np.random.default_rng([2, seed])
        while not self._stop.is_set():
            number, x = self.tally.sent(), self._rows[int(rng.integers(len(self._rows)))]
            patience_s = PATIENCE_S if rng.random() < CANCELLED_SHARE else None
            try:
                await asyncio.wait_for(self._predictor.apredict(x, budget_ms=200.0), patience_s)
            except TimeoutError as error:
                if isinstance(error, CascadeError):
                    self.tally.end(number, ending_of(error))
                else:
                    self.tally.n_impatient += 1
                    self.tally.end(number, "cancelled")
            except CascadeError as error:
                self.tally.end(number, ending_of(error))
            else:
                self.tally.end(number, "answered")
            await asyncio.sleep(THINK_S)
