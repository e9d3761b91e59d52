import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, PolicyMismatch
from cascade.simulation.recorded import Recorded


def drawn_outcomes(n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3, 3)) + np.array([1.0, 2.0, 3.0])[None, :, None] * np.eye(3)[labels][:, None, :]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return Outcomes.from_probs(probs, labels, stages=["a", "b", "c"])


SERVICE = ServiceTable.from_costs([1.0, 3.0, 9.0], stages=["a", "b", "c"])


@pytest.mark.slow
def test_answers_of_a_policy_are_those_of_its_replay():
    policy, fresh = fit_policy(drawn_outcomes(), SERVICE), drawn_outcomes(200, seed=1)
    recorded = Recorded.from_policy(policy, fresh)
    for budget_ms, path in ((1.5, 0b001), (20.0, None)):
        replay = policy.replay(fresh, budget_ms, price=0.0)
        same = (recorded.confidence == replay.confidence[:, None]) & (recorded.correct == replay.correct[:, None])
        assert same.any(axis=1).all()
        if path is not None:
            assert recorded.confidence[:, path].tolist() == replay.confidence.tolist()
            assert recorded.correct[:, path].tolist() == replay.correct.tolist()


@pytest.mark.slow
def test_classes_are_counted_as_the_policy_counts_them():
    known, fresh = (
        Outcomes.from_predictions(
            np.array(["x", "y", "z"])[drawn.predicted],
            drawn.confidence,
            np.array(["x", "y", "z"])[drawn.labels],
            stages=drawn.stages,
        )
        for drawn in (drawn_outcomes(), drawn_outcomes(200, seed=1).take(drawn_outcomes(200, seed=1).labels > 0))
    )
    assert (known.classes, fresh.classes) == (("x", "y", "z"), ("y", "z", "x"))
    policy = fit_policy(known, SERVICE)
    replay = policy.replay(fresh, 1.5)
    recorded = Recorded.from_policy(policy, fresh)
    assert recorded.correct[:, 1].tolist() == replay.correct.tolist()
    assert recorded.confidence[:, 1].tolist() == replay.confidence.tolist()


def test_a_chain_says_what_its_last_stage_says_and_runs_in_order():
    outcomes = drawn_outcomes(40)
    recorded = Recorded.from_policy(Policy.from_thresholds([0.9, 0.8], SERVICE), outcomes)
    assert recorded.requires == (-1, 0, 1)
    assert recorded.stages == ("a", "b", "c")
    for last, prefix in ((0, 1), (1, 3), (2, 7)):
        assert recorded.confidence[:, prefix] == pytest.approx(outcomes.confidence[:, last], abs=1e-6)
        assert recorded.correct[:, prefix].tolist() == outcomes.correct[:, last].tolist()


def test_without_pooling_a_set_says_what_its_highest_stage_says():
    outcomes = drawn_outcomes(40)
    recorded = Recorded.from_stages(outcomes)
    for s in range(1, 8):
        last = s.bit_length() - 1
        assert recorded.confidence[:, s].tolist() == outcomes.confidence[:, last].tolist()
        assert recorded.correct[:, s].tolist() == outcomes.correct[:, last].tolist()


def test_some_of_the_items_can_be_taken():
    recorded = Recorded.from_stages(drawn_outcomes(10))
    taken = recorded.take(np.array([7, 2]))
    assert taken.confidence.tolist() == recorded.confidence[[7, 2]].tolist()
    assert taken.stages == recorded.stages


def test_outcomes_of_other_stages_are_an_error():
    policy = Policy.from_thresholds([0.9], ServiceTable.from_costs([1.0, 2.0]))
    with pytest.raises(PolicyMismatch):
        Recorded.from_policy(policy, drawn_outcomes(5))


@pytest.mark.parametrize(
    ("shapes", "more", "message"),
    [
        (((2, 4), (2, 2)), {}, r"got \(2, 4\) and \(2, 2\)"),
        (((2, 3), (2, 3)), {}, "a column for every set"),
        (((4,), (4,)), {}, "a column for every set"),
        (((0, 4), (0, 4)), {}, "a column for every set"),
        (((2, 4), (2, 4)), {"stages": ("a",)}, "expected 2 stages, as the 4 columns say"),
        (((2, 4), (2, 4)), {"requires": (-1, 0, 1)}, "expected 2 stages, as the 4 columns say"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(shapes, more, message):
    with pytest.raises(ConfigurationError, match=message):
        Recorded(np.zeros(shapes[0]), np.zeros(shapes[1], bool), **more)


def test_a_confidence_that_is_not_a_number_is_an_error():
    with pytest.raises(ConfigurationError, match="got NaN"):
        Recorded(np.array([[0.0, np.nan]]), np.zeros((1, 2), bool))


def test_too_many_sets_for_the_memory_are_an_error():
    n, k = 7000, 15
    outcomes = Outcomes.from_predictions(np.zeros((n, k), int), np.full((n, k), 0.5), np.zeros(n, int))
    with pytest.raises(ConfigurationError, match="7000 x 32768: take fewer items"):
        Recorded.from_stages(outcomes)
