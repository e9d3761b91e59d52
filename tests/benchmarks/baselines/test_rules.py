"""Each published rule on data that is made so that one knows what it must do."""

import numpy as np
import pytest
from baselines.agreement import agreement_based, sequences
from baselines.cascade_routing import cascade_routing, expected_maximum
from baselines.operating_points import Items
from baselines.post_hoc import post_hoc_deferral
from baselines.pre_routing import image_features, pre_routing
from baselines.uncertainty import low_entropy, margin, max_probability
from harness.comparison import matched

COSTS = np.array([1.0, 2.0, 10.0])


def made(seed, n=1500, with_features=True, features_cost=0.0):
    """Two cheap models that are right together on easy items and err apart on hard ones; a dear one that is always right.

    Confidence says nothing, the first feature says whether an item is hard.
    """
    rng = np.random.default_rng(seed)
    labels, hard = rng.integers(0, 4, n), rng.random(n) < 0.4
    wrong = np.stack([(labels + 1) % 4, (labels + 2) % 4], axis=1)
    cheap = np.where(hard[:, None], wrong, labels[:, None])
    predicted = np.column_stack([cheap, labels])
    features = np.column_stack([hard, rng.standard_normal(n)]) if with_features else None
    return Items(labels, predicted, rng.random((n, 3)), None, features, 4, features_cost)


def at(points, limit):
    return matched(points, [limit])[0]


def test_agreement_pays_for_the_dear_model_only_where_the_cheap_ones_differ():
    points = agreement_based(made(0), made(1), COSTS)
    spent = 3.0 + 10.0 * (made(1).predicted[:, 0] != made(1).predicted[:, 1]).mean()
    assert at(points, spent) == pytest.approx(1.0)
    assert at(max_probability(made(0), made(1), COSTS), spent) < 0.9


def test_two_models_leave_no_ensemble_that_could_defer():
    items = made(0)
    two = Items(items.labels, items.predicted[:, :2], items.confidence[:, :2], None, None, 4)
    assert agreement_based(two, two, COSTS[:2]) is None


def test_ensembles_are_disjoint_and_only_one_that_can_disagree_comes_first():
    found = list(sequences(3))
    assert len(found) == len(set(found))
    assert ((0,), (1,)) not in found
    assert ((0, 2), (1,)) in found
    assert all(len(sum(tiers, ())) == len(set(sum(tiers, ()))) for tiers in found)


@pytest.mark.slow
def test_cascade_routing_goes_on_where_what_the_first_model_said_is_likely_wrong():
    def told(items):
        hard = items.predicted[:, 0] != items.labels
        confidence = np.column_stack([np.where(hard, 0.4, 0.8), items.confidence[:, 1:]])
        return Items(items.labels, items.predicted, confidence, None, None, 4)

    points = cascade_routing(told(made(0)), told(made(1)), COSTS)
    assert at(points, 1.0 + 10.0 * 0.4 + 0.3) > 0.98


@pytest.mark.slow
def test_cascade_routing_asks_the_right_model_first_where_the_input_tells():
    with_inputs, without = (
        cascade_routing(made(0, with_features=f), made(1, with_features=f), COSTS) for f in (True, False)
    )
    assert at(with_inputs, 5.0) > 0.97
    assert at(without, 5.0) < 0.9


@pytest.mark.slow
def test_cascade_routing_pays_for_the_input_it_reads_and_need_not_read_it():
    unread, free, fair, dear = (
        cascade_routing(
            *(made(seed, n=600, with_features=cost is not None, features_cost=cost or 0.0) for seed in (0, 1)), COSTS
        )
        for cost in (None, 0.0, 0.4, 50.0)
    )
    assert at(fair, 4.4) == pytest.approx(at(free, 4.0), abs=0.02)
    assert at(fair, 4.4) > at(unread, 4.4) + 0.1
    assert at(dear, 4.4) == pytest.approx(at(unread, 4.4), abs=0.01)


def test_pre_routing_pays_for_the_input_it_reads():
    free, paid = (pre_routing(made(0, features_cost=c), made(1, features_cost=c), COSTS) for c in (0.0, 0.5))
    n = len(free.cost)
    assert paid.cost[:n] == pytest.approx(free.cost + 0.5)
    assert paid.seen_cost[:n] == pytest.approx(free.seen_cost + 0.5)
    assert np.array_equal(paid.accuracy[:n], free.accuracy)


def test_pre_routing_that_is_dear_routes_a_share_and_sends_the_others_to_the_cheapest_model():
    points = pre_routing(made(0, features_cost=2.0), made(1, features_cost=2.0), COSTS)
    right = made(1).correct.mean(axis=0)
    # Routed, all items are right at 0.6 + 0.4 * 10 + 2; half of the items routed have half of the gain.
    middle = 0.5 * (1.0 + 6.6)
    assert at(points, 1.0) == right[0]
    assert at(points, middle) == pytest.approx(0.5 * (right[0] + 1.0), abs=0.02)


def test_pre_routing_sends_hard_inputs_to_the_dear_model():
    spent = 0.6 * 1.0 + 0.4 * 10.0
    assert at(pre_routing(made(0), made(1), COSTS), spent + 0.3) > 0.98
    assert pre_routing(made(0, with_features=False), made(1), COSTS) is None


def test_post_hoc_deferral_finds_that_high_confidence_means_wrong():
    rng = np.random.default_rng(3)

    def items():
        confidence = rng.random((2000, 2))
        labels, wrong = rng.integers(0, 2, 2000), rng.random(2000) < confidence[:, 0]
        return Items(labels, np.column_stack([labels ^ wrong, labels]), confidence, None, None, 2)

    seen, served, costs = items(), items(), np.array([1.0, 10.0])
    learned, plain = (rule(seen, served, costs) for rule in (post_hoc_deferral, max_probability))
    # Half of the items deferred: the surest half is wrong three times in four.
    assert at(learned, 6.0) == pytest.approx(0.875, abs=0.02)
    assert at(plain, 6.0) < 0.8


def test_post_hoc_deferral_does_not_pay_where_the_next_model_is_wrong_too():
    rng = np.random.default_rng(4)

    def items():
        said, hopeless = rng.integers(0, 2, 2000), rng.random(2000) < 0.4
        labels = np.where(hopeless, 1 - said, said)
        confidence = np.column_stack([np.where(hopeless, 0.2, 0.5 + 0.5 * rng.random(2000)), np.ones(2000)])
        return Items(labels, np.column_stack([said, said]), confidence, None, None, 2)

    points = post_hoc_deferral(items(), items(), np.array([1.0, 10.0]))
    assert points.cost.max() == pytest.approx(1.0)


def test_margin_and_entropy_need_class_scores():
    assert margin(made(0), made(1), COSTS) is None
    assert low_entropy(made(0), made(1), COSTS) is None


def test_the_expected_maximum_is_close_to_the_mean_of_drawn_maxima():
    rng = np.random.default_rng(5)
    root = 0.1 * rng.standard_normal((3, 3))
    mean, covariance = rng.random((4, 3)), root @ root.T
    drawn = rng.multivariate_normal(np.zeros(3), covariance, 200_000)
    for run in ([0, 1], [0, 1, 2]):
        reference = [(row + drawn)[:, run].max(axis=1).mean() for row in mean]
        assert expected_maximum(mean, covariance, run) == pytest.approx(reference, abs=2e-3)


def test_image_features_tell_a_vertical_edge_from_a_horizontal_one_and_keep_small_images_whole():
    edge = np.zeros((2, 32, 32, 3), np.uint8)
    edge[0, :, 16:], edge[1, 16:] = 255, 255
    first, second = image_features(edge)
    assert np.abs(first - second).max() > 0.1
    assert image_features(np.eye(8)[None]).shape == (1, 64)
