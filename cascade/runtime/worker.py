"""The thread of a lane: it runs the batches that it is given, one after the other."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Protocol

from cascade.errors import StageError
from cascade.runtime.lane import Lane
from cascade.runtime.lane_work import LaneWork, Work
from cascade.runtime.pending import LoneCall
from cascade.runtime.receivers import deliver
from cascade.runtime.thread_counts import ThreadCounts


class Employer(Protocol):
    """Who gives work, and is told how it went."""

    def finish(self, lane: Lane, work: Work) -> None:
        """The batch has run."""
        ...

    def tick(self) -> None:
        """Look whether there is something to do."""
        ...

    def fail(self, error: BaseException) -> None:
        """The thread ends, as something went wrong that is no stage's fault."""
        ...


class Worker:
    """One lane's thread; it starts when it is made.

    Parameters
    ----------
    doing : LaneWork
        Of a lane that is taken whenever work is given.
    threads : ThreadCounts
    employer : Employer

    Notes
    -----
    A daemon: the interpreter ends without waiting for a stage. `nudge` and `stop` may be called from a finaliser, in whatever
    thread that runs: the mailbox takes letters even from within itself.
    """

    def __init__(self, doing: LaneWork, threads: ThreadCounts, employer: Employer) -> None:
        self._lane, self._doing, self._threads, self._employer = doing.lane, doing, threads, employer
        self._mail: SimpleQueue[Work | LoneCall | bool] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"cascade-lane-{doing.lane.number}", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether this is the calling thread."""
        return self._thread is current_thread()

    def give(self, work: Work | LoneCall) -> None:
        """Run this next."""
        self._mail.put(work)

    def nudge(self) -> None:
        """Tick once."""
        self._mail.put(True)

    def stop(self) -> None:
        """Let the thread end when what was given before is done."""
        self._mail.put(False)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended; at once if it is this one."""
        if not self.is_current:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            with self._lane.at_work():
                self._answer_mail()
        except BaseException as error:  # noqa: BLE001 - nobody else would hear of it, and everybody would wait for ever
            self._employer.fail(error)
        finally:
            self._threads.lift()

    def _answer_mail(self) -> None:
        while (letter := self._mail.get()) is not False:
            if letter is True:
                self._employer.tick()
            elif isinstance(letter, LoneCall):
                deliver((letter,))
            else:
                self._run(letter)
            # Inputs and futures are not to live until the next batch comes.
            del letter

    def _run(self, work: Work) -> None:
        try:
            self._threads.limit()
            self._lane.use_device()
            with self._lane.holding():
                self._doing.run(work)
        except BaseException as error:  # noqa: BLE001 - whatever a model or an input does, the lane goes on
            name = self._lane.stages[work.stage].name
            fault = StageError(f"stage {name!r} could not be run: {type(error).__name__}: {error}")
            fault.__cause__ = error
            work.faults.update(dict.fromkeys(range(len(work.members)), fault))
            self._lane.reject(work.stage)
        self._employer.finish(self._lane, work)
        if work.faults:
            work.let_go()
