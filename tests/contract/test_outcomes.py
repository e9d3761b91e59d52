"""Whatever way a request comes and whatever goes wrong: it has one outcome, and the statistics know of it."""

import asyncio
from collections import Counter
from concurrent.futures import CancelledError
from threading import Barrier, Lock, Thread

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.clock import MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.records import Prediction
from cascade.core.service import ServiceTable
from cascade.errors import OverloadError, PredictorClosed, StageError
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

PATIENCE_S = 60.0
NAMES = ("weak", "strong")
N_CALLERS, N_EACH = 12, 60


class Unreliable(FakeStage):
    """A stage that raises now and then, and says nothing usable about some rows, by a seed."""

    def __init__(self, *args, seed, **keywords):
        super().__init__(*args, **keywords)
        self._rng, self._guard = np.random.default_rng(seed), Lock()

    def run(self, batch, carry=None):
        with self._guard:
            luck = self._rng.random()
        if luck < 0.1:
            raise RuntimeError("bad luck")
        scores, carry_out = super().run(np.asarray(batch))
        if luck < 0.3:
            scores = scores.copy()
            scores[0] = np.nan
        return scores, carry_out


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 2, 3))
    logits[np.arange(300), :, labels] += [3.0, 4.0]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    service = ServiceTable.from_costs([0.05, 0.2], stages=NAMES)
    return probs, fit_policy(Outcomes.from_probs(probs, labels, stages=NAMES), service, max_accuracy_drop=0.03), service


def predictor_on(parts, **keywords):
    probs, policy, service = parts
    clock = MonotonicClock()
    stages = [Unreliable(name, probs[:, j], 0.02, clock, seed=j) for j, name in enumerate(NAMES)]
    return Predictor(stages, policy, service, clock=clock, **keywords)


def kind_of(call):
    try:
        answer = call()
    except CancelledError:
        return "cancelled"
    except (OverloadError, StageError, PredictorClosed) as error:
        return type(error).__name__
    assert isinstance(answer, Prediction)
    return "answered"


def ask(predictor, rng):
    """One request in one of all ways; how it ended."""
    row, strict = int(rng.integers(300)), bool(rng.random() < 0.2)
    budget_ms = None if rng.random() < 0.3 else float(rng.choice([0.3, 2.0, 20.0]))
    terms = {"budget_ms": budget_ms, "strict": strict, "priority": str(rng.choice(["interactive", "background"]))}
    terms["infeasible"] = str(rng.choice(["fastest", "raise", "prior"]))
    match rng.integers(4):
        case 0:
            return kind_of(lambda: predictor.predict(row, **terms))
        case 1:
            return kind_of(lambda: predictor.submit(row, **terms).result(PATIENCE_S))
        case 2:
            future = kind_of_submission(predictor, row, terms)
            if isinstance(future, str):
                return future
            was_dropped = future.cancel()
            kind = kind_of(lambda: future.result(PATIENCE_S))
            assert was_dropped == (kind == "cancelled")
            return kind
        case _:

            async def wait():
                return await asyncio.wait_for(predictor.apredict(row, **terms), PATIENCE_S)

            return kind_of(lambda: asyncio.run(wait()))


def kind_of_submission(predictor, row, terms):
    try:
        return predictor.submit(row, **terms)
    except PredictorClosed:
        return "PredictorClosed"


def outcomes_of(predictor, after=None):
    """How the requests of many threads ended; ``after`` runs meanwhile."""
    kinds, barrier = Counter(), Barrier(N_CALLERS + 1)
    guard, broken = Lock(), []

    def caller(seed):
        rng = np.random.default_rng(seed)
        barrier.wait()
        try:
            for _ in range(N_EACH):
                kind = ask(predictor, rng)
                with guard:
                    kinds[kind] += 1
        except BaseException as error:  # noqa: BLE001 - shown below
            broken.append(error)

    threads = [Thread(target=caller, args=(seed,)) for seed in range(N_CALLERS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    if after is not None:
        after()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert broken == []
    assert not any(thread.is_alive() for thread in threads)
    return kinds


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
def test_every_request_has_one_outcome_and_is_counted_as_that(parts, lanes):
    with predictor_on(parts, lanes=lanes, max_waiting=8, audit_fraction=0.1) as predictor:
        kinds = outcomes_of(predictor)
        predictor.run_audits()
        stats = predictor.stats()
    assert kinds.total() == N_CALLERS * N_EACH
    assert kinds["answered"] == stats.n_requests > 0
    assert kinds["cancelled"] == stats.n_cancelled
    assert kinds["Expired"] == stats.n_expired
    assert kinds["Shed"] == stats.n_shed
    assert kinds["Rejected"] + kinds["BudgetTooSmall"] == stats.n_rejected
    assert kinds["StageError"] == stats.n_failed
    assert stats.n_waiting == 0


@pytest.mark.slow
@pytest.mark.parametrize("drain_ms", [None, 0.0])
def test_every_request_has_one_outcome_while_the_predictor_is_closed(parts, drain_ms):
    predictor = predictor_on(parts, max_waiting=8)
    kinds = outcomes_of(predictor, lambda: predictor.close(drain_ms))
    assert kinds.total() == N_CALLERS * N_EACH
    assert kinds["PredictorClosed"] > 0
    assert kinds["answered"] == predictor.stats().n_requests
    assert predictor._engine._at_work.alive == {}
