"""Policies that change while requests are in progress."""

from threading import Barrier, Thread

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

PATIENCE_S = 60.0
NAMES = ("weak", "strong")


@pytest.fixture
def policies(gradual):
    """Two that decide differently: one always runs the strong stage alone, the other one hardly ever."""
    outcomes = Outcomes.from_probs(gradual.probs, gradual.labels, stages=NAMES)
    dear = fit_policy(outcomes, ServiceTable.from_costs([10.0, 0.5], stages=NAMES), 0.0)
    cheap = fit_policy(outcomes, ServiceTable.from_costs([1.0, 10.0], stages=NAMES), 0.5)
    return dear, cheap


def test_a_request_in_progress_finishes_under_its_own_policy(serve, held, policies):
    predictor = serve()
    first, second = policies
    predictor.swap_policy(first)
    began = predictor.predict(1).path[0]
    held[NAMES.index(began)].hold()
    before = predictor.submit(1)
    held[NAMES.index(began)].wait_for_run()
    predictor.swap_policy(second)
    after = predictor.submit(1)
    for stage in held:
        stage.let_go()
    old, new = before.result(PATIENCE_S), after.result(PATIENCE_S)
    assert before.done()
    assert old.confidence == predictor_under(held, first, old)
    assert new.confidence == predictor_under(held, second, new)
    assert predictor.policy.statistics is second.statistics


def test_a_swap_to_a_chain_runs_no_stage(serve, held, policies, gradual):
    predictor = serve()
    chain = Policy.from_thresholds([0.5], gradual.service)
    n_calls = [len(stage.threads_seen) for stage in held]
    predictor.swap_policy(chain)
    assert [len(stage.threads_seen) for stage in held] == n_calls
    assert predictor.predict(1).label in predictor.policy.classes


def predictor_under(held, policy, answer):
    """The confidence of row 1 after the stages of an answer, under a policy."""
    features = np.zeros((1, 2, 3), np.float32)
    for name in answer.path:
        j = NAMES.index(name)
        features[0, j] = np.log(held[j]._function(np.array([1]))[0] / held[j]._function(np.array([1]))[0].sum())
    chosen = sum(1 << NAMES.index(name) for name in answer.path)
    return pytest.approx(float(policy.evidence.pool(features, chosen)[1][0]), rel=1e-5)


def test_a_request_that_was_made_before_a_swap_and_queued_after_it_is_wholly_under_the_new_policy(serve, policies):
    predictor = serve(abstain_below=None)
    old = predictor._server
    request = old.request(None, None, None, None)
    predictor.swap_policy(policies[1])
    future = old.future(1, request, "normal", is_strict=False)
    assert future.result(PATIENCE_S)
    assert request.terms is predictor._server.terms


@pytest.mark.slow
def test_no_request_is_mixed_up_while_policies_are_swapped_under_load(gradual, policies):
    """Every answer is one of those that its own row can get under either policy, whatever thread it comes from."""
    stages = [FakeStage(name, gradual.probs[:, j]) for j, name in enumerate(NAMES)]
    n_threads, n_each, n_least = 8, 100, 6
    wrong, n_answers, swaps, barrier = [], [], [], Barrier(n_threads + 1)
    with Predictor(stages, policies[0], gradual.service, lanes=2) as predictor:
        known = {}
        for policy in policies:
            predictor.swap_policy(policy)
            for row in range(40):
                for path in ((0,), (1,), (0, 1)):
                    known.setdefault(row, set()).add(round(confidence_of(gradual, policy, row, path), 6))

        def ask(seed):
            rng = np.random.default_rng(seed)
            barrier.wait()
            n_asked = 0
            while n_asked < n_each or len(swaps) < n_least:
                n_asked += 1
                row = int(rng.integers(40))
                answer = predictor.submit(row).result(PATIENCE_S) if rng.random() < 0.5 else predictor.predict(row)
                n_answers.append(1)
                if round(answer.confidence, 6) not in known[row]:
                    wrong.append((row, answer))

        threads = [Thread(target=ask, args=(seed,)) for seed in range(n_threads)]
        for thread in threads:
            thread.start()
        barrier.wait()
        while any(thread.is_alive() for thread in threads):
            predictor.swap_policy(policies[len(swaps) % 2])
            swaps.append(1)
        for thread in threads:
            thread.join(PATIENCE_S)
        stats = predictor.stats()
    assert wrong == []
    assert len(n_answers) == stats.n_requests >= n_threads * n_each


def confidence_of(parts, policy, row, path):
    features = np.zeros((1, 2, 3), np.float32)
    for j in path:
        features[0, j] = np.log(parts.probs[row, j])
    return float(policy.evidence.pool(features, sum(1 << j for j in path))[1][0])
