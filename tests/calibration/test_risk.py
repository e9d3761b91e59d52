"""Promises: kept under anything the router may do, refused where the data do not prove them."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.calibration import risk as certifying
from cascade.calibration.fit import fit_policy
from cascade.calibration.risk import control_risk
from cascade.core.certificate import Certificate
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import (
    ConfigurationError,
    DataError,
    GuaranteeLostWarning,
    LabelShiftWarning,
    NotCertifiable,
    PolicyMismatch,
    ReusedData,
)

TIMES_MS = [1.0, 4.0, 12.0]
DELTA = 0.1
N_SAMPLES = 300


def ladder(n, seed):
    """Three stages that get more accurate and share the hardness of the items."""
    rng = np.random.default_rng(seed)
    labels, hardness = rng.integers(0, 4, n), rng.normal(size=(n, 1))
    logits = rng.normal(size=(n, 3, 4))
    logits[np.arange(n), :, labels] += np.array([2.0, 2.8, 3.6]) + hardness
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels)


@pytest.fixture(scope="module")
def policy():
    return fit_policy(ladder(1500, 0), ServiceTable.from_costs(TIMES_MS))


@pytest.fixture(scope="module")
def fresh():
    return ladder(2000, 1)


@pytest.fixture(scope="module")
def population():
    """So many items that what is measured on them is as good as the truth."""
    return ladder(20_000, 2)


def measured(risk, replay, reference):
    wrong = ~replay.correct
    return {"error": wrong, "lost": reference & wrong, "drop": reference.astype(int) - replay.correct}[risk].mean()


@pytest.mark.parametrize(
    ("risk", "max_risk", "least_ms"), [("error", 0.25, 8.0), ("lost", 0.05, 17.0), ("drop", 0.03, 17.0)]
)
def test_the_promise_is_kept_under_random_prices_and_budgets(policy, fresh, population, risk, max_risk, least_ms):
    certificate = control_risk(policy, fresh, max_risk, DELTA, risk, min_budget_ms=least_ms)
    reference = policy.replay(population, price=0.0).correct
    rng = np.random.default_rng(3)
    assert certificate.price > 0.0
    for _ in range(25):
        price, budget_ms = (
            rng.uniform(0.0, certificate.price),
            rng.choice([least_ms, rng.uniform(least_ms, 30.0), np.inf]),
        )
        replay = certificate.policy.replay(population, None if np.isinf(budget_ms) else budget_ms, price)
        assert replay.certified_share == 1.0
        assert measured(risk, replay, reference) <= max_risk


def union_of_losses(policy, outcomes, prices):
    """Share of items that the reference gets right and some price gets wrong: what a router may do to each item."""
    reference = policy.replay(outcomes, price=0.0).correct
    return np.any([reference & ~policy.replay(outcomes, price=price).correct for price in prices], axis=0).mean()


def test_a_router_that_picks_the_worst_price_for_each_item_keeps_the_promise(policy, fresh, population):
    certificate = control_risk(policy, fresh, 0.1, DELTA, "lost")
    within = [price for price in certificate.guarantee.path if price <= certificate.price]
    assert union_of_losses(policy, population, within) <= 0.1


def test_without_the_envelope_the_same_router_breaks_it(policy, population):
    # Even the truth about every price by itself is no promise about a router that may choose among them.
    prices = policy.decisions().prices.tolist()
    within = [price for price in prices if union_of_losses(policy, population, [price]) <= 0.1]
    assert union_of_losses(policy, population, within) > 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cascade.errors.LabelShiftWarning")
def test_a_promise_is_broken_no_more_often_than_stated(policy):
    # The truth is a pool; 300 samples are drawn from it. With 10 % allowed, 15.2 % is three standard errors above.
    pool, rng = ladder(4000, 5), np.random.default_rng(6)
    path = (0.0, *policy.decisions().prices.tolist())
    reference = policy.replay(pool, price=0.0).correct
    lost = np.stack([reference & ~policy.replay(pool, price=price).correct for price in path])
    true_risk = dict(zip(path, np.logical_or.accumulate(lost, axis=0).mean(axis=1), strict=True))
    # A limit that one of the prices just breaks is where promises are broken most often.
    limit = min(value for value in true_risk.values() if value > 0.01) - 1e-9
    n_broken, n_proved = 0, 0
    for _ in range(N_SAMPLES):
        try:
            certificate = control_risk(policy, pool.take(rng.integers(0, 4000, 800)), limit, DELTA, "lost")
        except NotCertifiable:
            continue
        n_proved += 1
        n_broken += true_risk[certificate.price] > limit
    assert n_proved > 100
    assert n_broken / N_SAMPLES <= 0.152


def test_selective_risk_finds_the_lowest_threshold_of_abstention(policy, fresh, population):
    certificate = control_risk(policy, fresh, 0.03, DELTA, "selective")
    replay = certificate.policy.replay(population)
    answered = replay.confidence >= certificate.abstain_below
    assert 0.0 < certificate.abstain_below < 0.995
    assert (~replay.correct[answered]).mean() <= 0.03
    strict = control_risk(policy, fresh, 0.02, DELTA, "selective")
    assert strict.abstain_below > certificate.abstain_below


def test_selective_risk_at_a_given_threshold_finds_a_price(policy, fresh, population):
    certificate = control_risk(policy, fresh, 0.06, DELTA, "selective", abstain_below=0.9)
    replay = certificate.policy.replay(population, price=certificate.price)
    assert (certificate.abstain_below, certificate.price > 0.0) == (0.9, True)
    assert (~replay.correct[replay.confidence >= 0.9]).mean() <= 0.06


def test_a_larger_allowance_never_lowers_the_price(policy, fresh):
    prices = [control_risk(policy, fresh, limit, DELTA).price for limit in (0.01, 0.02, 0.04, 0.08)]
    assert prices == sorted(prices)
    assert prices[0] < prices[-1]


def test_a_shorter_budget_never_raises_the_price(policy, fresh):
    prices = [control_risk(policy, fresh, 0.2, DELTA, "error", min_budget_ms=ms).price for ms in (5.0, 8.0, 17.0)]
    assert prices == sorted(prices)


def test_a_single_stage_may_be_the_reference(policy, fresh):
    certificate = control_risk(policy, fresh, 0.02, DELTA, "drop", reference="stage0")
    assert (certificate.reference, certificate.bound.split()[0]) == ("stage0", "betting")
    assert certificate.price > control_risk(policy, fresh, 0.02, DELTA, "drop").price


def test_a_chain_is_certified_as_it_is(fresh):
    chain = Policy.from_thresholds([0.9, 0.8], ServiceTable.from_costs(TIMES_MS))
    certificate = control_risk(chain, fresh, 0.05, DELTA, "lost")
    assert (certificate.price, certificate.reference) == (0.0, "stage2")
    assert certificate.policy.replay(fresh).certified_share == 1.0


@pytest.mark.filterwarnings("ignore::cascade.errors.LabelShiftWarning")
def test_groups_count_as_one_each(policy, fresh):
    # A hundred copies of a few items prove no more than the few.
    few = fresh.take(np.repeat(np.arange(40), 50))
    assert control_risk(policy, few, 0.2, DELTA, "error").n == 2000
    with pytest.raises(NotCertifiable):
        control_risk(policy, few, 0.2, DELTA, "error", groups=np.repeat(np.arange(40), 50))
    certificate = control_risk(policy, fresh, 0.25, DELTA, "error", groups=[f"video {i // 4}" for i in range(2000)])
    assert (certificate.guarantee.n_groups, certificate.bound.split()[0]) == (500, "betting")


def test_the_guarantee_travels_with_the_policy(policy, fresh, tmp_path):
    certificate = control_risk(policy, fresh, 0.02, DELTA)
    certificate.policy.save(tmp_path / "policy.json")
    loaded = Policy.load(tmp_path / "policy.json")
    assert loaded == certificate.policy
    assert Certificate(loaded).explain() == str(certificate)
    assert replace(loaded, guarantee=None) == policy


def test_the_explanation_names_what_is_promised_and_what_is_not(policy, fresh):
    text = control_risk(policy, fresh, 0.02, DELTA, min_budget_ms=17.5).explain()
    for part in (
        "probability 0.9",
        "2000 items",
        "at most 0.02",
        "from 17.5 ms",
        "most accurate path",
        "shift",
        "exact binomial",
    ):
        assert part in text


def test_other_service_times_void_the_guarantee(policy, fresh):
    certified = control_risk(policy, fresh, 0.02, DELTA).policy
    assert certified.retime(certified.service).guarantee is not None
    with pytest.warns(GuaranteeLostWarning, match="certified for other service times"):
        assert certified.retime(ServiceTable.from_costs([2.0, 4.0, 12.0])).guarantee is None


def test_above_the_certified_price_a_policy_sheds_or_degrades(policy, fresh, population):
    certificate = control_risk(policy, fresh, 0.01, DELTA)
    certified, dear = certificate.policy, 10.0 * certificate.price
    shed = certified.replay(population, price=dear, on_overload="shed")
    degraded = certified.replay(population, price=dear, on_overload="degrade")
    assert (shed.certified_share, degraded.certified_share) == (1.0, 0.0)
    assert shed.mean_cost == certified.replay(population, price=certificate.price).mean_cost > degraded.mean_cost
    assert degraded.mean_cost == policy.replay(population, price=dear).mean_cost


def test_shorter_budgets_than_promised_are_not_certified(policy, fresh):
    certified = control_risk(policy, fresh, 0.25, DELTA, "error", min_budget_ms=9.0).policy
    assert certified.replay(fresh, budget_ms=9.0).certified_share == 1.0
    assert certified.replay(fresh, budget_ms=8.9).certified_share == 0.0
    assert policy.replay(fresh).certified_share == 0.0


def test_the_unloaded_price_stays_within_the_certified_one(fresh):
    thrifty = fit_policy(ladder(1500, 0), ServiceTable.from_costs(TIMES_MS), max_accuracy_drop=0.05)
    certificate = control_risk(thrifty, fresh, 0.01, DELTA)
    assert 0.0 < certificate.price < thrifty.unloaded_price()
    assert certificate.policy.unloaded_price() <= certificate.price
    assert certificate.policy.replay(fresh).certified_share == 1.0


def test_uses_of_the_same_data_are_counted(policy, monkeypatch):
    monkeypatch.setattr(certifying, "_uses", type(certifying._uses)())
    fresh, other = ladder(500, 7), ladder(500, 8)
    shuffled = fresh.take(np.random.default_rng(0).permutation(500))
    uses = [control_risk(policy, each, 0.3, DELTA, "error").n_uses for each in (fresh, other, shuffled)]
    assert uses == [1, 1, 2]


def test_labels_in_other_shares_than_fitted_are_pointed_out(policy, fresh):
    with pytest.warns(LabelShiftWarning, match="most of all 0") as caught:
        control_risk(policy, fresh.take(np.flatnonzero(fresh.labels > 0)), 0.3, DELTA, "error")
    assert caught[0].filename == __file__


@pytest.mark.parametrize("rows", [slice(0, 1500), slice(700, 701)])
def test_rows_that_were_fitted_prove_nothing(policy, fresh, rows):
    fitted = ladder(1500, 0).take(rows)
    with pytest.raises(ReusedData, match=rf"got {fitted.n_items} of {fitted.n_items} that are known"):
        control_risk(policy, fitted, 0.2, DELTA, "error")


def test_too_few_items_are_told_how_many_are_needed(policy, fresh):
    certain = fresh.take(policy.replay(fresh, price=0.0).correct & fresh.correct.all(axis=1)).take(slice(0, 100))
    with pytest.raises(NotCertifiable, match="at least 299 items are needed"):
        control_risk(policy, certain, 0.01, 0.05, "lost")


def test_a_risk_that_no_data_would_prove_is_said_to_be_so(policy, fresh):
    with pytest.raises(NotCertifiable, match="more data will not help"):
        control_risk(policy, fresh, 0.01, 0.05, "error")


def test_a_risk_that_more_data_would_prove_is_told_roughly_how_many(policy, fresh):
    shown = 1.0 - policy.replay(fresh, price=0.0).accuracy
    with pytest.raises(NotCertifiable, match=r"about \d+ items would be needed"):
        control_risk(policy, fresh, shown + 0.002, 0.05, "error")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"risk": "loss"}, "expected risk to be one of"),
        ({"max_risk": 0.0}, "expected max_risk between 0 and 1"),
        ({"delta": 1.0}, "expected delta between 0 and 1"),
        ({"reference": "stage9"}, "expected reference to be one of the stages"),
        ({"risk": "error", "reference": "stage0"}, 'with risk="lost" or "drop" only'),
        ({"risk": "error", "abstain_below": 0.5}, 'with risk="selective" only'),
        ({"risk": "selective", "abstain_below": 1.5}, r"expected abstain_below in \[0, 1\]"),
        ({"min_budget_ms": 0.5}, "in which the fastest stage fits"),
    ],
)
def test_arguments_that_cannot_work_are_refused(policy, fresh, keywords, message):
    with pytest.raises(ConfigurationError, match=message):
        control_risk(policy, fresh, **{"max_risk": 0.1, "delta": 0.1, **keywords})


def test_outcomes_of_other_stages_and_groups_of_another_number_are_refused(policy, fresh):
    with pytest.raises(PolicyMismatch):
        control_risk(policy, replace(fresh, stages=("a", "b", "c")), 0.1)
    with pytest.raises(DataError, match="one group for each of the 2000 items, got 3"):
        control_risk(policy, fresh, 0.1, groups=[1, 2, 3])


def test_an_unknown_way_out_of_overload_is_refused(policy, fresh):
    with pytest.raises(ConfigurationError, match="expected on_overload to be one of"):
        policy.replay(fresh, price=0.1, on_overload="drop")
