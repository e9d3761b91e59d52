"""Forks, the end of the interpreter, predictors that nobody holds any more."""

import asyncio
import copy
import gc
import os
import pickle  # noqa: TID251 - to see that it is refused
import signal
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path
from threading import Thread

import pytest

from cascade.errors import ConfigurationError, ForkedPredictor, NotPicklable
from cascade.predictor import Predictor
from cascade.runtime import starting
from cascade.runtime.starting import LaneSettings

PATIENCE_S = 30.0
ROOT = Path(__file__).resolve().parents[2]

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

PRELUDE = """
import numpy as np
from cascade.calibration.fit import fit_policy
from cascade.clock import MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 300)
logits = rng.normal(size=(300, 2, 3))
logits[np.arange(300), :, labels] += [1.5, 4.0]
probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
service = ServiceTable.from_costs([1.0, 10.0], stages=("weak", "strong"))
policy = fit_policy(Outcomes.from_probs(probs, labels, stages=("weak", "strong")), service)
stages = [FakeStage(name, probs[:, j]) for j, name in enumerate(("weak", "strong"))]
"""


def in_child(call):
    """What a forked child sends back of a call, within a bound; it ends without any clean-up of the parent's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(int(PATIENCE_S))
            said = repr(call())
        except BaseException as error:  # noqa: BLE001 - it is to be read in the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def run_script(code):
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120.0, cwd=ROOT, check=False
    )


@can_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_starts_fresh_lanes_whatever_the_parent_was_doing(serve, held):
    predictor = serve()
    for stage in held:
        stage.hold()
    running = predictor.submit(1)
    while not any(stage._entered.acquire(blocking=False) for stage in held):
        pass
    waiting = predictor.submit(2)
    asleep = Thread(target=predictor.predict, args=(3,))
    asleep.start()
    while predictor.stats().n_waiting < 2:
        pass

    def ask():
        for stage in held:
            stage.let_go()
            stage.threads_seen.clear()
        direct, queued = predictor.predict(1), predictor.submit(2).result(PATIENCE_S)
        lanes = {name for stage in held for name in stage.threads_seen}
        predictor.close()
        return direct.label, queued.label, sorted(lanes), predictor.stats().n_waiting

    # Locks that were held while the process forked would stay so.
    with predictor._engine._lock, predictor._counters.lock:
        said = in_child(ask)
    for stage in held:
        stage.let_go()
    labels = running.result(PATIENCE_S).label, waiting.result(PATIENCE_S).label
    asleep.join(PATIENCE_S)
    assert said == repr((*labels, ["MainThread", "cascade-lane-0"], 0))


@can_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_cannot_use_stages_on_a_device(serve, held):
    predictor = serve()
    held[1].device = "cuda:0"
    for call in (lambda: predictor.predict(1), lambda: predictor.submit(1)):
        said = in_child(call)
        assert said.startswith("ForkedPredictor: ")
        assert "cuda:0" in said
        assert "after the fork" in said
    assert in_child(lambda: predictor.ready) == "False"
    assert issubclass(ForkedPredictor, RuntimeError)
    held[1].device = "cpu"
    assert predictor.predict(1)


@can_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_closed_predictor_stays_closed_in_a_child(serve):
    predictor = serve()
    predictor.close()
    assert in_child(lambda: predictor.predict(1)).startswith("PredictorClosed")


@can_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_audits_that_wait_are_the_parents(serve):
    predictor = serve(audit_fraction=1.0, audit_in_background=False)
    predictor.predict(1)
    with predictor._auditor._log_lock, predictor._auditor._running:
        said = in_child(lambda: (predictor.run_audits(), predictor.predict(2).id, predictor.run_audits()))
    assert said == "(0, 1, 1)"
    assert predictor.run_audits() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending",
    [
        "",
        "predictor.submit(2)",
        "raise SystemExit(0)",
        "predictor.close()",
        "del predictor",
        "import threading; threading.Thread(target=predictor.predict, args=(1,), kwargs=dict(strict=True)).start()",
    ],
    ids=["idle lanes", "a request on its way", "an exit", "closed", "not held any more", "another thread waits"],
)
def test_the_interpreter_ends(ending):
    done = run_script(
        f"""
        predictor = Predictor(stages, policy, service)
        predictor.submit(1, budget_ms=1e6).result(60)
        predictor.predict(1, budget_ms=1e6, strict=True)
        print("served", flush=True)
        {ending}
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "served\n", "")


@pytest.mark.slow
def test_the_interpreter_ends_while_a_stage_runs():
    done = run_script(
        """
        from threading import Event
        entered = Event()
        class Stuck(FakeStage):
            def run(self, batch, carry=None):
                entered.set()
                Event().wait()
        predictor = Predictor([Stuck("weak", probs[:, 0]), Stuck("strong", probs[:, 1])], policy, service)
        future = predictor.submit(1)
        future.add_done_callback(lambda future: print(type(future.exception()).__name__))
        entered.wait()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "PredictorClosed\n", "")


def test_a_predictor_that_nobody_holds_is_collected_and_its_threads_end(held, gradual, clock):
    predictor = Predictor(held, gradual.policy, gradual.service, clock=clock)
    for stage in held:
        stage.hold()
    running, waiting = predictor.submit(1, budget_ms=1e6), predictor.submit(2, budget_ms=1e6)
    while not any(stage._entered.acquire(blocking=False) for stage in held):
        pass
    threads = [thread._thread for thread in predictor._engine._at_work.threads]
    known = weakref.ref(predictor)
    del predictor
    gc.collect()
    assert known() is None
    # What was asked for is answered nevertheless.
    for stage in held:
        stage.let_go()
    assert running.result(PATIENCE_S)
    assert waiting.result(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


def test_a_coroutine_keeps_its_predictor(gradual, stages, clock):
    async def ask():
        coroutine = Predictor(stages, gradual.policy, gradual.service, clock=clock).apredict(1)
        gc.collect()
        return await coroutine

    assert asyncio.run(ask()).path


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_predictor_is_not_sent_anywhere_and_says_what_to_send(serve, send):
    with pytest.raises(NotPicklable, match=r"predictor\.policy\.save.*Policy\.load") as caught:
        send(serve())
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("machine_share", "lanes", "threads", "expected"),
    [(1.0, 1, 1, 0.8), (0.25, 1, 1, 0.8), (0.125, 1, 1, 0.4), (0.25, 4, 1, 0.2), (0.5, 1, 4, 0.4)],
)
def test_a_share_of_the_machine_cuts_the_headroom_once_a_lane_has_less_than_its_cores(
    monkeypatch, stages, machine_share, lanes, threads, expected
):
    monkeypatch.setattr(starting, "usable_cores", lambda: 4)
    settings = LaneSettings(lanes, 32, 1024, 0.8, machine_share, "degrade")
    assert settings.headroom_on(stages, threads) == pytest.approx(expected)


def test_a_device_is_shared_by_all_processes(held):
    held[0].device = "cuda:0"
    assert LaneSettings(1, 32, 1024, 0.8, 0.25, "degrade").headroom_on(held, 1) == pytest.approx(0.2)


@pytest.mark.parametrize("machine_share", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(serve, machine_share):
    with pytest.raises(ConfigurationError, match="expected machine_share in"):
        serve(machine_share=machine_share)


@pytest.mark.parametrize(("keyword", "value"), [("lanes", 0), ("max_batch", 0), ("max_waiting", 0), ("headroom", 0.0)])
def test_a_setting_that_cannot_work_is_refused(serve, keyword, value):
    with pytest.raises(ConfigurationError, match="expected"):
        serve(**{keyword: value})
