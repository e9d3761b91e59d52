"""One tiny model, and all the ways to ask it: directly, through cascade, and through other queues that batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import async_batcher.batcher
import batched
import batched.aio
import numpy as np
from harness.clients import Ask, AskAsync

from cascade.core.policy import Policy
from cascade.core.records import Prediction
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage

Said = tuple[int, float]
"""A label, and how sure the model is of it: what everyone makes of the model's probabilities."""
Together = Callable[[list[np.ndarray]], list[Said]]

N_INPUTS, N_HIDDEN, N_CLASSES, N_ROWS = 784, 256, 10, 512
MAX_BATCH, BUDGET_MS = 32, 1000.0


class TinyModel:
    """A perceptron with one hidden layer in numpy, with drawn weights, and rows to ask it about."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._hidden = rng.normal(0.0, 0.05, (N_INPUTS, N_HIDDEN)).astype(np.float32)
        self._last = rng.normal(0.0, 0.3, (N_HIDDEN, N_CLASSES)).astype(np.float32)
        self.rows = rng.random((N_ROWS, N_INPUTS), dtype=np.float32)

    def probs(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities, shape (n, 10), of rows (n, 784)."""
        scores = np.maximum(batch @ self._hidden, 0.0) @ self._last
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def row(self, i: int) -> np.ndarray:
        """One of the rows, in turn."""
        return self.rows[i % N_ROWS]

    def alone(self, x: np.ndarray) -> Said:
        """The answer to one row, without any queue."""
        probs = self.probs(x[None])[0]
        label = int(probs.argmax())
        return label, float(probs[label])

    def together(self, rows: list[np.ndarray]) -> list[Said]:
        """The answers to several rows."""
        probs = self.probs(np.stack(rows))
        return list(zip(probs.argmax(axis=1).tolist(), probs.max(axis=1).tolist(), strict=True))


class QueueByHand:
    """A thread that takes whatever waits, up to a batch, without waiting for company, and completes a future for each."""

    def __init__(self, together: Together) -> None:
        self._together = together
        self._queue: SimpleQueue[tuple[np.ndarray, Future[Said]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, x: np.ndarray) -> Future[Said]:
        """The future answer to one row."""
        future: Future[Said] = Future()
        self._queue.put((x, future))
        return future

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        get, get_nowait = self._queue.get, self._queue.get_nowait
        while (first := get()) is not None:
            batch = [first]
            try:
                while len(batch) < MAX_BATCH and (more := get_nowait()) is not None:
                    batch.append(more)
            except Empty:
                pass
            for (_, future), said in zip(batch, self._together([x for x, _ in batch]), strict=True):
                future.set_result(said)


class OnLoop(async_batcher.batcher.AsyncBatcher[np.ndarray, Said]):
    """Async-batcher with the model on the event loop itself, which it blocks meanwhile."""

    def __init__(self, together: Together, wait_ms: float) -> None:
        super().__init__(max_batch_size=MAX_BATCH, max_queue_time=wait_ms / 1e3)
        self._together = together

    async def process_batch(self, batch: list[np.ndarray]) -> list[Said]:
        """The answers."""
        return self._together(batch)


class InExecutor(OnLoop):
    """Async-batcher with the model on a thread of the loop's executor."""

    def process_batch(self, batch: list[np.ndarray]) -> list[Said]:
        """The answers."""
        return self._together(batch)


@dataclass(frozen=True, slots=True)
class Asked:
    """The model, and a predictor that has nothing else."""

    model: TinyModel
    predictor: Predictor

    @classmethod
    def here(cls) -> Asked:
        """With service times measured here and now."""
        model = TinyModel()
        stages = [Stage(model.probs, name="tiny", scores="probs")]
        service = profile(stages, model.rows, progress=False)
        policy = Policy.from_thresholds([], service)
        return cls(model, Predictor(stages, policy, service, sample=model.rows[:64]))


Opened = Callable[[Asked], Any]
"""Makes a context that gives an `Ask` or an `AskAsync`."""


@contextmanager
def direct(asked: Asked) -> Iterator[Ask]:
    """Every client calls the model itself."""
    alone, row = asked.model.alone, asked.model.row
    yield lambda i: alone(row(i))


@contextmanager
def predicted(asked: Asked) -> Iterator[Ask]:
    """`predict`: on the client's own thread if the lane is free."""
    predict, row = asked.predictor.predict, asked.model.row
    yield lambda i: said(predict(row(i), budget_ms=BUDGET_MS))


@contextmanager
def strict(asked: Asked) -> Iterator[Ask]:
    """`predict` with a strict deadline: always through a lane."""
    predict, row = asked.predictor.predict, asked.model.row
    yield lambda i: said(predict(row(i), budget_ms=BUDGET_MS, strict=True))


@contextmanager
def submitted(asked: Asked) -> Iterator[Ask]:
    """`submit`: always through a lane."""
    submit, row = asked.predictor.submit, asked.model.row
    yield lambda i: said(submit(row(i), budget_ms=BUDGET_MS).result())


@contextmanager
def by_hand(asked: Asked) -> Iterator[Ask]:
    """The queue by hand, from threads."""
    queue, row = QueueByHand(asked.model.together), asked.model.row
    yield lambda i: queue.submit(row(i)).result()
    queue.close()


def batched_threads(wait_ms: float) -> Opened:
    """``batched``, from threads, waiting so long for a batch to fill."""

    @contextmanager
    def opened(asked: Asked) -> Iterator[Ask]:
        process = batched.dynamically(asked.model.together, batch_size=MAX_BATCH, timeout_ms=wait_ms)
        row = asked.model.row
        yield lambda i: process(row(i))
        process.shutdown()

    return opened


@asynccontextmanager
async def awaited(asked: Asked) -> AsyncIterator[AskAsync]:
    """`apredict`."""
    apredict, row = asked.predictor.apredict, asked.model.row

    async def ask(i: int) -> Said:
        return said(await apredict(row(i), budget_ms=BUDGET_MS))

    yield ask


@asynccontextmanager
async def awaited_by_hand(asked: Asked) -> AsyncIterator[AskAsync]:
    """The queue by hand, from coroutines."""
    queue, row = QueueByHand(asked.model.together), asked.model.row
    yield lambda i: asyncio.wrap_future(queue.submit(row(i)))
    queue.close()


def async_batcher_of(kind: type[OnLoop], wait_ms: float) -> Opened:
    """``async-batcher``, waiting so long for a batch to fill."""

    @asynccontextmanager
    async def opened(asked: Asked) -> AsyncIterator[AskAsync]:
        batcher, row = kind(asked.model.together, wait_ms), asked.model.row
        yield lambda i: batcher.process(row(i))
        await batcher.stop(force=True)

    return opened


def batched_coroutines(wait_ms: float) -> Opened:
    """``batched``, from coroutines."""

    @asynccontextmanager
    async def opened(asked: Asked) -> AsyncIterator[AskAsync]:
        process = batched.aio.dynamically(asked.model.together, batch_size=MAX_BATCH, timeout_ms=wait_ms)
        row = asked.model.row
        yield lambda i: process(row(i))

    return opened


def said(prediction: Prediction) -> Said:
    """What the others answer, of what cascade answers."""
    return prediction.label, prediction.confidence
