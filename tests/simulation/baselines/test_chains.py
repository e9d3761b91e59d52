from itertools import combinations, product

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.simulation.baselines.chains import Chain, pareto_chains
from cascade.simulation.recorded import Recorded

COSTS = [1.0, 2.0, 5.0]


@pytest.fixture(scope="module")
def recorded():
    """Three stages, the larger the better; confident answers are right more often."""
    rng = np.random.default_rng(0)
    confidence = rng.random((400, 8))
    last = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    return Recorded(confidence, rng.random((400, 8)) < 0.4 + 0.4 * confidence + 0.08 * last)


def walked(recorded, chain):
    """Accuracy and mean cost, one item after the other."""
    right = spent = 0.0
    for confidence, correct in zip(recorded.confidence, recorded.correct, strict=True):
        s = 0
        while (stage := chain.next_stage(s, confidence[s])) is not None:
            s |= 1 << stage
            spent += COSTS[stage]
        right += correct[s]
    return right / recorded.n_items, spent / recorded.n_items


def test_a_request_from_another_chain_is_judged_by_the_last_stage_that_is_no_larger():
    chain = Chain((0, 2, 3), (0.9, 0.7))
    assert chain.next_stage(0b0011, 0.85) == 2
    assert chain.next_stage(0b0011, 0.95) is None
    assert Chain((2, 3), (0.7,)).next_stage(0b0011, 0.99) == 2
    assert Chain((0, 1), (0.7,)).next_stage(0b0101, 0.10) is None


def test_a_confidence_just_below_its_threshold_for_want_of_digits_reaches_it():
    assert Chain((0, 1), (0.9,)).next_stage(1, float(np.float32(0.9)) - 1e-8) is None


@pytest.mark.parametrize(
    ("stages", "thresholds"), [((), ()), ((1, 0), (0.5,)), ((0, 0), (0.5,)), ((0, 1), ()), ((-1,), ())]
)
def test_a_chain_that_is_none_is_refused(stages, thresholds):
    with pytest.raises(ConfigurationError, match="expected ascending stages with a threshold for each but the last"):
        Chain(stages, thresholds)


def test_what_a_tuned_chain_gave_is_what_walking_it_gives(recorded):
    for tuned in pareto_chains(recorded, ServiceTable.from_costs(COSTS), 8):
        assert (tuned.accuracy, tuned.mean_ms) == pytest.approx(walked(recorded, tuned.chain))


def test_no_other_chain_on_the_same_thresholds_beats_one_that_is_kept(recorded):
    kept = pareto_chains(recorded, ServiceTable.from_costs(COSTS), 8)
    ranks = np.linspace(0.0, 1.0, 14)[1:-1]
    for n in (1, 2):
        for stages in combinations(range(3), n):
            sets = np.cumsum([1 << j for j in stages])[:-1]
            for thresholds in product(*(np.quantile(recorded.confidence[:, s], ranks) for s in sets)):
                accuracy, mean_ms = walked(recorded, Chain(stages, tuple(thresholds)))
                assert not any(accuracy > one.accuracy and mean_ms < one.mean_ms - 1e-9 for one in kept)


def test_the_chains_kept_are_dearer_and_more_accurate_one_after_the_other(recorded):
    kept = pareto_chains(recorded, ServiceTable.from_costs(COSTS), 6)
    assert 2 <= len(kept) <= 6
    assert np.all(np.diff([one.mean_ms for one in kept]) > 0)
    assert np.all(np.diff([one.accuracy for one in kept]) > 0)


def test_fewer_than_two_chains_to_keep_are_refused(recorded):
    with pytest.raises(ConfigurationError, match="n_most of at least 2, got 1"):
        pareto_chains(recorded, ServiceTable.from_costs(COSTS), 1)
