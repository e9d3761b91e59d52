"""The scheduler under load: the price, what a guarantee allows, machines that become slow, and replay as the oracle."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from cascade.calibration.risk import control_risk
from cascade.core import load_kernels
from cascade.core.guarantee import Guarantee
from cascade.core.induction import Statistics
from cascade.core.policy import Policy
from cascade.scheduling.load import IDLE, Load
from cascade.scheduling.messages import Answer, Arrived, Finished, Priority, Refuse, Run
from cascade.scheduling.scheduler import Scheduler
from cascade.simulation import workloads
from cascade.simulation.figures import Ending
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import SlowDown
from cascade.simulation.workloads import Workload

SMALL, LARGE = 0, 1
UNSURE, SURE = 0.3, 0.95
BOTH = 0b11


@pytest.fixture
def driven(drive, pair):
    def made(policy=pair.fitted, **keywords):
        return drive(policy, **{"max_batch": 4, "headroom": 0.5} | keywords)

    return made


def four_at_once(one):
    """Four requests with 24 ms that have waited for a lane."""
    one.borrows(0.0, until_ms=0.0)
    one.arrives(0.0, [0, 1, 2, 3], deadline_ms=24.0)
    return one.returns(0.0)


def certified(policy, price):
    promise = Guarantee(price, "error", None, 0.1, 0.05, "binomial", 500, None, 3.0, None, (price,), 0.05, 1)
    return replace(policy, guarantee=promise)


def every(n, gap_ms, budget_ms=inf, *, n_items=900):
    """Requests one after the other, without company."""
    return Workload(
        np.arange(n) * gap_ms,
        np.full(n, budget_ms),
        np.full(n, int(Priority.NORMAL)),
        np.arange(n) % n_items,
        np.zeros(n, bool),
    )


def test_without_load_there_is_no_price(driven, pair):
    one = driven()
    one.arrives(0.0, 0)
    assert one.scheduler.load == IDLE
    assert one.said[0].price == pair.fitted.unloaded_price()
    assert one.ends(2.0, UNSURE) == [("run", LARGE, (0,))]


def test_under_load_the_price_rises_and_as_many_go_on_as_there_is_time_for(driven, pair):
    """At first the queue needs 17 of the 12 ms that may be planned, 5 if nobody goes on; then 24 of 9.5, and 0."""
    prices = pair.fitted.decisions().prices
    one = driven()
    assert four_at_once(one) == [("run", SMALL, (0, 1, 2, 3))]
    assert one.scheduler.load == Load(26, prices[26], pytest.approx(7 / 12), pytest.approx(5 / 12))
    assert one.said[0].price == prices[26]
    # Of the shares .618, .236, .854 and .472 of the first four requests, one is below 9.5 / 24: that one pays the lower price.
    assert one.ends(5.0, UNSURE) == [("degraded", 0, 1), ("degraded", 2, 1), ("degraded", 3, 1), ("run", LARGE, (1,))]
    assert one.scheduler.load == Load(26, prices[26], pytest.approx(9.5 / 24), 0.0)
    assert one.said[-1].price == prices[25]
    assert one.ends(11.0, SURE) == [("answer", 1, BOTH)]


def test_on_a_machine_that_is_twice_as_slow_the_same_queue_weighs_twice_as_much(driven):
    one = driven()
    for k in range(40):
        one.arrives(-4000.0 + 50.0 * k, 10 + k)
        one.ends(-3996.0 + 50.0 * k, SURE, service_ms=4.0)
    four_at_once(one)
    assert one.scheduler.load.pressure == pytest.approx(2 * 5 / 12, rel=0.05)


def test_under_shed_the_price_stays_at_the_certified_one_and_time_alone_decides(driven, pair):
    prices = pair.fitted.decisions().prices
    one = driven(certified(pair.fitted, prices[25]), on_overload="shed")
    four_at_once(one)
    assert one.scheduler.load.price == prices[25]
    assert one.ends(5.0, UNSURE) == [("run", LARGE, (0, 1))]
    assert one.said[0].price == prices[25]
    # Two take 10 ms as expected, which leaves 9 for one more, and 3 for the last.
    assert one.ends(15.0, SURE) == [("answer", 0, BOTH), ("answer", 1, BOTH), ("run", LARGE, (2,)), ("degraded", 3, 1)]


def test_under_degrade_the_price_rises_above_the_certified_one(driven, pair):
    prices = pair.fitted.decisions().prices
    one = driven(certified(pair.fitted, prices[25]), on_overload="degrade")
    four_at_once(one)
    assert one.scheduler.load.price == prices[26]


def test_no_request_pays_more_than_the_guarantee_it_came_under_when_shedding(driven, pair):
    one = driven(certified(pair.fitted, pair.fitted.decisions().prices[25]), on_overload="shed")
    one.borrows(0.0, until_ms=0.0)
    one.arrives(0.0, [0, 1, 2, 3], deadline_ms=24.0)
    one.scheduler.follow(pair.fitted)
    one.returns(0.0)
    assert one.ends(5.0, UNSURE) == [("run", LARGE, (0, 1))]


def in_three_bins(policy):
    """The pair with a bin more, so that an unsure confidence of 0.4 lies in the bin where the pair itself has the sure ones."""
    accuracy = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 1.0], [0.9, 0.9, 0.9], [0.9, 0.9, 1.0]])
    transitions = np.zeros((4, 2, 3, 3), np.float32)
    transitions[0, :, 0] = [0.25, 0.25, 0.5]
    transitions[1, 1] = np.eye(3)
    transitions[2, 0, :, 0] = 1.0
    edges = np.broadcast_to([0.2, 0.8], (4, 2))
    return replace(policy, statistics=Statistics((-1, -1), edges, accuracy, transitions))


def test_requests_with_evidence_of_the_old_policy_are_counted_as_the_new_one_sees_them(driven, pair):
    """Six runs of the large stage by itself need 36 of the 12 ms that may be planned."""
    one = driven(in_three_bins(pair.fitted))
    one.borrows(0.0, until_ms=0.0)
    one.arrives(0.0, range(6), deadline_ms=24.0, evidence_set=0b01, confidence=0.4)
    one.scheduler.follow(pair.fitted)
    one.returns(0.0)
    assert one.scheduler.load.level == 26
    assert one.scheduler.load.cheap_share == pytest.approx(12 / 36)


def test_requests_of_a_chain_go_on_by_its_thresholds_after_a_policy_with_prices_is_followed(driven, pair):
    one = driven(pair.chain)
    one.borrows(0.0, until_ms=0.0)
    one.arrives(0.0, 0, deadline_ms=24.0)
    one.scheduler.follow(pair.fitted)
    one.arrives(0.0, [1, 2, 3], deadline_ms=24.0)
    assert one.returns(0.0) == [("run", SMALL, (0, 1, 2, 3))]
    assert one.scheduler.load.level == 26
    assert one.ends(5.0, UNSURE, SURE, SURE, SURE)[-1] == ("run", LARGE, (0,))


def test_a_policy_may_be_followed_while_more_wait_than_can_be_served(driven, pair):
    one = driven()
    one.borrows(0.0, until_ms=0.0)
    one.arrives(0.0, range(20), deadline_ms=12.0)
    one.scheduler.follow(pair.chain)
    said = one.returns(0.0)
    assert said[-1] == ("run", SMALL, (0, 1, 2, 3))
    assert {reason for reason, _ in said[:-1]} == {"rejected"}


@pytest.mark.slow
def test_a_certified_policy_is_never_followed_beyond_its_price_when_shedding(parts, served, fresh_outcomes):
    policy = control_risk(parts.policy, fresh_outcomes, max_risk=0.02, risk="lost").policy
    cap, workload = policy.guarantee.price, workloads.poisson(2500.0, 400.0, budget_ms=20.0, n_items=900, seed=0)
    assert parts.policy.decisions().prices[0] < cap < parts.policy.decisions().prices[-4]
    highest = {}
    for on_overload in ("shed", "degrade"):
        recording, _ = served(workload, policy=policy, on_overload=on_overload)
        highest[on_overload] = max(run.price for _, run in recording.runs())
    assert highest["shed"] <= cap * (1.0 + 1e-9) < highest["degrade"]


def paths_as_replayed(parts, report, replay):
    """Whether the first items ran the same stages in both: sums of mean times tell sets of stages apart."""
    spent_ms = [parts.mean_ms[[j for j in range(3) if s >> j & 1], 1].sum() for s in report.evidence_set.tolist()]
    assert len(set(spent_ms)) > 1 or len(set(replay.time_ms.tolist())) == 1
    return spent_ms == pytest.approx(replay.time_ms[: len(spent_ms)])


@pytest.mark.parametrize("thresholds", [(0.7, 0.9), (0.0, 0.5), (1.0, 1.0)])
def test_without_load_a_chain_answers_from_the_stages_that_replay_says(parts, served, thresholds):
    chain = Policy.from_thresholds(thresholds, parts.service).for_classes(parts.outcomes.classes)
    recorded = Recorded.from_policy(chain, parts.outcomes)
    _, report = served(every(300, 50.0), policy=chain, recorded=recorded)
    assert paths_as_replayed(parts, report, chain.replay(parts.outcomes))


@pytest.mark.parametrize("budget_ms", [inf, 12.0, 8.0, 6.0, 4.0, 2.0])
def test_without_load_a_policy_answers_from_the_stages_that_replay_says(parts, served, budget_ms):
    _, report = served(every(300, 50.0, budget_ms))
    replay = parts.policy.replay(parts.outcomes, None if budget_ms == inf else budget_ms)
    assert paths_as_replayed(parts, report, replay)


def test_overload_costs_accuracy_and_not_deadlines(served):
    """Three times what the large stage can carry in batches of 32, half of what the small one can."""
    _, report = served(workloads.poisson(1400.0, 400.0, budget_ms=40.0, n_items=900, seed=0))
    assert report.in_time.mean() > 0.99
    _, calm = served(every(300, 50.0, 40.0))
    n_more = [np.mean([s.bit_count() - 1 for s in one.evidence_set.tolist()]) for one in (calm, report)]
    assert n_more[1] < 0.7 * n_more[0]


def test_a_machine_that_becomes_twice_as_slow_is_followed_and_admitted_requests_stay_in_time(served):
    """Of 20 ms the pair of the small and the large stage needs 9 as profiled."""
    slow = SlowDown(1000.0, 1e9, 2.0)
    workload = workloads.poisson(150.0, 3000.0, budget_ms=20.0, n_items=900, seed=0)
    recording, report = served(workload, jitter=0.02, slowdowns=(slow,))
    slowdown = recording.inner.slowdown
    assert slowdown.factor(0, 0) == pytest.approx(2.0, rel=0.1)
    assert slowdown.overall == pytest.approx(2.0, rel=0.1)
    runs = report.runs
    before, after = runs.start_ms < 1000.0, runs.start_ms > 1100.0
    large = [np.average(runs.stage[part] == 2, weights=runs.size[part]) for part in (before, after)]
    assert large[1] < 0.6 * large[0]
    rejected = {c.request for _, c in recording.commands if isinstance(c, Refuse) and c.reason == "rejected"}
    settled = (report.arrival_ms > 1100.0) & ~np.isin(np.arange(report.n_requests), list(rejected))
    assert settled.sum() > 200
    assert report.in_time[settled].mean() > 0.99


def test_a_machine_that_recovers_is_believed_again(served):
    workload = workloads.poisson(150.0, 2500.0, budget_ms=20.0, n_items=900, seed=0)
    recording, _ = served(workload, jitter=0.02, slowdowns=(SlowDown(500.0, 1500.0, 2.0),))
    assert recording.inner.slowdown.overall == pytest.approx(1.0, rel=0.1)


def test_stages_run_with_less_time_left_only_if_they_take_no_longer_than_profiled(driven, pair):
    """The large stage needs 9 ms as profiled: of 30, a machine that is twice as slow leaves enough, of 20 it does not."""
    said = {}
    for slow in (1.0, 2.0):
        one = driven(pair.chain)
        for k in range(40):
            one.arrives(50.0 * k, k)
            one.ends(50.0 * k + 2.0 * slow, SURE, service_ms=2.0 * slow)
        assert one.scheduler.slowdown.factor(0, SMALL) == pytest.approx(slow, rel=0.05)
        for request, budget_ms in [(100, 30.0), (101, 15.0)]:
            at = 5000.0 + 10.0 * request
            one.arrives(at, request, deadline_ms=at + budget_ms)
            said[slow, budget_ms] = one.ends(at + 2.0 * slow, UNSURE, service_ms=2.0 * slow)[0][0]
            if said[slow, budget_ms] == "run":
                one.ends(at + 8.0 * slow, SURE, service_ms=6.0 * slow)
    assert said == {(1.0, 30.0): "run", (1.0, 15.0): "run", (2.0, 30.0): "run", (2.0, 15.0): "degraded"}


def test_one_spike_changes_neither_the_factor_nor_what_runs(driven, pair):
    one = driven(pair.chain)
    for k in range(40):
        one.arrives(50.0 * k, k)
        one.ends(50.0 * k + 2.0, SURE)
    before = one.scheduler.slowdown.factor(0, SMALL)
    one.arrives(2000.0, 100)
    one.ends(2006.0, SURE, service_ms=6.0)
    assert one.scheduler.slowdown.factor(0, SMALL) == before
    one.arrives(2050.0, 101, deadline_ms=2050.0 + 13.0)
    assert one.ends(2052.0, UNSURE) == [("run", LARGE, (101,))]


def test_every_lane_is_followed_by_itself(driven, pair):
    one = driven(pair.chain, n_lanes=2, max_batch=1)
    for k in range(40):
        one.arrives(50.0 * k, [2 * k, 2 * k + 1])
        one.ends(50.0 * k + 2.0, SURE, lane=0)
        one.ends(50.0 * k + 6.0, SURE, lane=1, service_ms=6.0)
    assert one.scheduler.slowdown.factor(0, SMALL) == pytest.approx(1.0, rel=0.05)
    assert one.scheduler.slowdown.factor(1, SMALL) == pytest.approx(3.0, rel=0.05)


def test_under_shed_every_answer_keeps_the_guarantee_and_the_others_are_given_up(parts, served, fresh_outcomes):
    certificate = control_risk(parts.policy, fresh_outcomes, max_risk=0.1, delta=0.1, risk="drop")
    guarantee, upper_ms = certificate.policy.guarantee, parts.upper_ms
    workload = workloads.poisson(900.0, 1500.0, budget_ms=40.0, n_items=900, seed=2)
    recording, report = served(workload, policy=certificate.policy, on_overload="shed")
    deadline_ms, ran = workload.arrival_ms + workload.budget_ms, {}
    for now_ms, command in recording.commands:
        if isinstance(command, Run):
            for i in command.requests:
                least_ms = guarantee.min_budget_ms - sum(upper_ms[j, 1] for j in ran.get(i, ()))
                assert deadline_ms[i] - now_ms >= least_ms - 1e-5
                ran[i] = (*ran.get(i, ()), command.stage)
        elif isinstance(command, Answer):
            least_ms = guarantee.min_budget_ms - sum(upper_ms[j, 1] for j in ran[command.request])
            assert deadline_ms[command.request] - now_ms >= least_ms - 1e-5
    assert (report.ending == Ending.SHED).any()
    assert report.is_answered.any()


def test_no_request_waits_for_a_kernel_to_compile(parts, served):
    kernels = (load_kernels.load_level, load_kernels.best_plan, load_kernels.plan_in_time)
    Scheduler(parts.policy)
    before = [list(kernel.signatures) for kernel in kernels]
    served(workloads.poisson(3000.0, 300.0, budget_ms={12.0: 0.5, 40.0: 0.5}, n_items=900, seed=1))
    assert all(before)
    assert [kernel.signatures for kernel in kernels] == before


def test_a_machine_that_was_very_slow_is_tried_again_once_nobody_is_served(parts):
    scheduler = Scheduler(parts.policy)
    now_ms = 0.0
    for request in range(60):
        scheduler.handle(Arrived(request, now_ms + 1e6), now_ms)
        for command in scheduler.poll(now_ms):
            if isinstance(command, Run):
                now_ms += 400.0 + 40.0 * (request % 2)
                scheduler.handle(Finished(command.lane, (1.0,), 400.0 + 40.0 * (request % 2)), now_ms)
        scheduler.poll(now_ms)
    told = []
    for request in range(100, 150):
        now_ms += 40.0
        scheduler.handle(Arrived(request, now_ms + 20.0), now_ms)
        told.append(any(isinstance(command, Run) for command in scheduler.poll(now_ms)))
        if told[-1]:
            break
    assert told[0] is False
    assert told[-1] is True


def test_spikes_beyond_measure_do_not_stretch_plans_beyond_measure(parts):
    scheduler = Scheduler(parts.policy)
    rng = np.random.default_rng(0)
    for ratio in rng.pareto(0.7, 500):
        scheduler.slowdown.note(0, 0, 1, 1.5 * (1.0 + ratio))
    assert scheduler.slowdown.upper(0, 0)[1] <= 3.0 * scheduler.slowdown.factor(0, 0) * 1.5 + 1e-9
