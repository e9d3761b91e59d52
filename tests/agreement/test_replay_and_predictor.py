"""The same evidence and the same time: replay and the live predictor take the same path to the same label."""

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.clock import VirtualClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.testing.fakes import FakeStage

NAMES = ("first", "second", "third")
COSTS_MS = (1.0, 3.0, 8.0)
BUDGETS_MS = (None, 0.5, 1.0, 2.5, 4.0, 9.0, 11.5, 12.0, 40.0)


def made_up(seed=3, n=400, c=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    logits = rng.normal(size=(n, len(NAMES), c))
    logits[np.arange(n), :, labels] += [1.0, 2.0, 3.5]
    scores = np.exp(logits)
    return scores / scores.sum(axis=2, keepdims=True), labels


PROBS, LABELS = made_up()
OUTCOMES = Outcomes.from_probs(PROBS, LABELS, stages=NAMES)
SERVICE = ServiceTable.from_costs(COSTS_MS, stages=NAMES)
POLICY = fit_policy(OUTCOMES, SERVICE)
ROWS = np.arange(len(LABELS))


def predictor_and_stages():
    clock = VirtualClock()
    stages = [
        FakeStage(name, PROBS[:, j], COSTS_MS[j], clock, classes=range(PROBS.shape[2])) for j, name in enumerate(NAMES)
    ]
    return Predictor(stages, POLICY, SERVICE, clock=clock), stages


def counted(paths):
    return {path: paths.count(path) for path in set(paths)}


@pytest.mark.parametrize("budget_ms", BUDGETS_MS)
def test_predict_takes_the_paths_and_gives_the_labels_of_the_replay(budget_ms):
    predictor, _ = predictor_and_stages()
    replayed = POLICY.replay(OUTCOMES, budget_ms=budget_ms)
    answers = [predictor.predict(row, budget_ms=budget_ms) for row in ROWS]
    assert [answer.label for answer in answers] == replayed.labels.tolist()
    assert np.allclose([answer.confidence for answer in answers], replayed.confidence, atol=1e-6)
    assert counted([answer.path for answer in answers]) == replayed.path_counts
    assert np.allclose([answer.latency_ms for answer in answers], replayed.time_ms)


@pytest.mark.parametrize("budget_ms", [budget for budget in BUDGETS_MS if budget != 0.5])
def test_a_predictor_keeps_the_budget_that_the_replay_keeps(budget_ms):
    predictor, _ = predictor_and_stages()
    assert all(predictor.predict(row, budget_ms=budget_ms).in_time for row in ROWS)


def test_a_batch_without_deadline_takes_the_paths_of_the_replay():
    predictor, stages = predictor_and_stages()
    replayed = POLICY.replay(OUTCOMES)
    answers = predictor.predict_batch(ROWS)
    assert answers.labels.tolist() == replayed.labels.tolist()
    assert dict(answers.path_counts) == replayed.path_counts
    runs = sum(n for path, n in replayed.path_counts.items() for _ in path)
    assert sum(sum(stage.batch_sizes) for stage in stages) == runs


def test_one_row_in_a_batch_is_answered_as_by_itself():
    predictor, _ = predictor_and_stages()
    for row in ROWS[:40]:
        alone, batch = predictor.predict(row), predictor.predict_batch(ROWS[row : row + 1])
        assert (alone.label, alone.path[-1]) == (batch.labels[0], batch.stage[0])


def test_a_chain_set_by_hand_takes_the_paths_of_its_replay():
    policy = Policy.from_thresholds([0.8, 0.7], SERVICE)
    _, stages = predictor_and_stages()
    predictor = Predictor(stages, policy, SERVICE)
    replayed = policy.for_classes(range(PROBS.shape[2])).replay(OUTCOMES)
    answers = [predictor.predict(row) for row in ROWS]
    assert [answer.label for answer in answers] == replayed.labels.tolist()
    assert counted([answer.path for answer in answers]) == replayed.path_counts
