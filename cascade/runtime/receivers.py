"""How an outcome gets to whoever waits for it: a thread that sleeps, a future, or a coroutine on its own loop.

The answer itself is made by the request's owner: on the thread that sleeps once it is awake, else on the thread that delivers.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any, Protocol

from cascade.core.records import Prediction
from cascade.errors import CascadeError
from cascade.runtime.pending import Asked


class Canceller(Protocol):
    """Whoever knows the requests in progress."""

    def cancel(self, pending: Asked) -> bool:
        """Drop a request; False if it has its outcome already."""
        ...


class Sleeper:
    """A thread that sleeps until its request has an outcome."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        # Half the price of an Event.
        self._gate = Lock()
        self._gate.acquire()

    def receive(self, pending: Asked) -> None:  # noqa: ARG002 - a Receiver
        """Wake the thread."""
        self._gate.release()

    def sleep(self) -> None:
        """Return once there is an outcome."""
        self._gate.acquire()


class LaneFuture(Future[Prediction]):
    """The future of a request that waits for a lane.

    It is pending until it is done, also while a stage runs for it: `cancel` takes the request out of the queue, and works until
    there is an outcome; but not where a lane was idle and has begun at once.

    Parameters
    ----------
    canceller : Canceller
    """

    def __init__(self, canceller: Canceller) -> None:
        super().__init__()
        self._canceller = canceller
        self.request: Asked | None = None

    def cancel(self) -> bool:
        """Drop the request; False if it has its outcome already."""
        pending = self.request
        if pending is None or not self._canceller.cancel(pending):
            return self.cancelled()
        self.request = None
        super().cancel()
        # Tells those who wait for several futures; executors do so when they come upon a cancelled one.
        self.set_running_or_notify_cancel()
        return True

    def receive(self, pending: Asked) -> None:
        """Be done."""
        self.request = None
        answer, error = settled(pending)
        if error is None:
            self.set_result(answer)
        else:
            self.set_exception(error)


class LoopReceiver:
    """A coroutine that waits on its event loop.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    future : asyncio.Future
        Of that loop.
    """

    __slots__ = ("future", "loop", "request")

    def __init__(self, loop: Any, future: Any) -> None:
        self.loop, self.future = loop, future
        self.request: Asked | None = None

    def receive(self, pending: Asked) -> None:
        """Tell the loop."""
        _tell(self.loop, [(self.future, *settled(pending))])


def deliver(ended: Sequence[Asked]) -> None:
    """Let everybody know; a loop is called once for all its coroutines. No lock is held."""
    by_loop: dict[Any, list[tuple[Any, Any, BaseException | None]]] = {}
    for pending in ended:
        receiver = pending.receiver
        if type(receiver) is LoopReceiver:
            by_loop.setdefault(receiver.loop, []).append((receiver.future, *settled(pending)))
        else:
            receiver.receive(pending)
    for loop, outcomes in by_loop.items():
        _tell(loop, outcomes)


def settled(pending: Asked) -> tuple[Any, BaseException | None]:
    """The answer to a request that is over, or the error to raise."""
    try:
        return pending.owner.settle(pending), None
    except StopIteration as error:
        # No future takes one.
        return None, RuntimeError(f"postprocess raised {error!r}")
    except CascadeError as error:
        # Its frames lead back to the future that gets it. Such a circle for each refusal made a predictor under overload swing
        # by 20 MB, as the collector looks at what has grown old only now and then.
        return None, error.with_traceback(None)
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked, not to the thread that delivers
        return None, error


def _tell(loop: Any, outcomes: list[tuple[Any, Any, BaseException | None]]) -> None:
    try:
        loop.call_soon_threadsafe(_resolve, outcomes)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _resolve(outcomes: list[tuple[Any, Any, BaseException | None]]) -> None:
    for future, answer, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
