"""Callers in threads of their own, and a stage that lets them down late."""

from threading import Thread

from cascade.testing.faults import FailingStage


def in_thread(call):
    """Run in a thread; what it returned or raised, once it is joined."""
    outcome = []

    def run():
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 - the outcome
            outcome.append(error)

    thread = Thread(target=run, name="caller", daemon=True)
    thread.start()
    return thread, outcome


class FailsInTheEnd(FailingStage):
    """A stage that fails on some calls once it has run."""

    def run(self, batch, carry=None):
        said = self._stage.run(batch, carry)
        if self._is_faulty():
            raise self._error.with_traceback(None)
        return said
