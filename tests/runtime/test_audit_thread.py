"""The thread of the audits, made to stand still at chosen places by events."""

from threading import Event, Thread, current_thread
from threading import enumerate as all_threads

import numpy as np
import pytest

from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

PATIENCE_S = 30.0


class Gated(FakeStage):
    """A stage that tells when an audit runs it, and then waits for the gate."""

    def __init__(self, *args, calls, **keywords):
        super().__init__(*args, **keywords)
        self.calls, self.reached, self.gate = calls, Event(), Event()

    def run(self, batch, carry=None):
        thread = current_thread().name
        self.calls.append((thread, self.name))
        if thread == "cascade-audits":
            self.reached.set()
            assert self.gate.wait(PATIENCE_S)
        return super().run(batch)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def gated(parts, calls):
    return [Gated(name, parts.probs[:, j], calls=calls) for j, name in enumerate(("weak", "strong"))]


@pytest.fixture
def audited(parts, gated, clock, calls):
    with Predictor(gated, parts.policy, parts.service, clock=clock, audit_fraction=1.0) as predictor:
        calls.clear()
        yield predictor
        for stage in gated:
            stage.gate.set()


def audit_threads():
    return [thread for thread in all_threads() if thread.name == "cascade-audits"]


def test_audits_run_by_themselves(audited, gated):
    answer = audited.predict(0)
    for stage in gated:
        assert stage.reached.wait(PATIENCE_S)
        stage.gate.set()
    audited.run_audits()
    assert audited.stats().n_audited == 1
    assert audited.feedback(answer.id, 0)


def test_a_request_that_waits_goes_before_the_next_stage_of_an_audit(audited, gated, calls):
    audited.predict(0)
    assert gated[0].reached.wait(PATIENCE_S)
    calls.clear()
    request = Thread(target=lambda: audited.predict(1), name="request")
    request.start()
    while not audited.stats().n_waiting:
        pass
    gated[0].gate.set()
    request.join()
    assert calls[0][0] == "cascade-lane-0"
    gated[1].gate.set()
    audited.run_audits()
    # The request was drawn, too.
    assert audited.stats().n_audited == 2


def test_closing_waits_for_the_running_stage_only_and_ends_the_thread(parts, gated, clock, calls):
    predictor = Predictor(gated, parts.policy, parts.service, clock=clock, audit_fraction=1.0)
    predictor.predict(0)
    assert gated[0].reached.wait(PATIENCE_S)
    closing = Thread(target=predictor.close)
    closing.start()
    while not predictor._auditor._thread._closing.is_set():
        pass
    gated[0].gate.set()
    closing.join()
    assert audit_threads() == []
    assert ("cascade-audits", "strong") not in calls
    assert predictor.stats().n_audits_dropped == 1


def test_the_thread_ends_by_itself_and_starts_again(parts, clock):
    stages = [FakeStage(name, parts.probs[:, j]) for j, name in enumerate(("weak", "strong"))]
    predictor = Predictor(stages, parts.policy, parts.service, clock=clock, audit_fraction=1.0)
    for n_audited in (1, 2):
        predictor.predict(0)
        for thread in audit_threads():
            thread.join(PATIENCE_S)
        assert audit_threads() == []
        assert predictor.stats().n_audited == n_audited


def test_nothing_starts_while_nothing_is_drawn(parts, clock):
    stages = [FakeStage(name, parts.probs[:, j]) for j, name in enumerate(("weak", "strong"))]
    with Predictor(stages, parts.policy, parts.service, clock=clock, audit_fraction=1e-9) as predictor:
        predictor.predict_batch(np.arange(50))
        assert audit_threads() == []
