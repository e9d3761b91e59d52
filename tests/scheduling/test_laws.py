"""What holds for every workload: checked on random ones, in virtual time."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.scheduling.messages import Answer, Arrived, Finished, Priority, Refuse, Run
from cascade.simulation import workloads
from cascade.simulation.workloads import Workload


@st.composite
def random_workloads(draw):
    n = draw(st.integers(1, 120))
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(seed)
    rate = draw(st.sampled_from([0.02, 0.1, 0.5, 2.0, 10.0]))
    gaps = rng.gamma(1.0 / draw(st.sampled_from([1.0, 16.0])), size=n)
    budgets = draw(st.sampled_from([[20.0], [3.0, 20.0, 90.0], [1.0, 6.0], [40.0, np.inf]]))
    return Workload(
        np.cumsum(gaps / gaps.mean() / rate),
        rng.choice(budgets, n),
        rng.choice([int(p) for p in Priority], n, p=draw(st.sampled_from([[0, 1, 0], [0.3, 0.4, 0.3]]))),
        rng.integers(0, 900, n),
        rng.random(n) < draw(st.sampled_from([0.0, 0.3])),
    )


def deadlines_of(workload):
    return workload.arrival_ms + workload.budget_ms


@given(random_workloads(), st.sampled_from([1, 2]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=60)
def test_every_request_gets_exactly_one_outcome(served, workload, n_lanes, jitter):
    recording, report = served(workload, n_lanes=n_lanes, jitter=jitter)
    ended = Counter(command.request for _, command in recording.commands if isinstance(command, (Answer, Refuse)))
    assert ended == dict.fromkeys(range(workload.n_requests), 1)
    assert len(report.end_ms) == workload.n_requests


@given(random_workloads(), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_nothing_starts_after_its_deadline_nor_for_a_request_that_has_ended(served, workload, n_lanes):
    recording, _ = served(workload, n_lanes=n_lanes, jitter=0.3)
    deadline_ms, ended = deadlines_of(workload), set()
    for now_ms, command in recording.commands:
        if isinstance(command, Run):
            assert all(now_ms <= deadline_ms[i] for i in command.requests)
            assert not ended & set(command.requests)
        else:
            ended.add(command.request)


@given(random_workloads(), st.sampled_from([1, 4, 32]))
@settings(max_examples=60)
def test_a_batch_is_within_its_limit_and_breaks_no_deadline_that_a_smaller_one_would_keep(
    parts, served, workload, max_batch
):
    recording, _ = served(workload, max_batch=max_batch)
    deadline_ms = deadlines_of(workload)
    for now_ms, command in recording.runs():
        n = len(command.requests)
        assert 1 <= n <= max_batch
        if n > 1:
            assert now_ms + parts.mean_ms[command.stage, n] <= deadline_ms[list(command.requests)].min() + 1e-6


@given(random_workloads(), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_with_exact_service_times_no_answer_is_late(served, workload, n_lanes):
    _, report = served(workload, n_lanes=n_lanes)
    assert not (report.is_answered & ~report.in_time).any()


@given(random_workloads())
@settings(max_examples=40)
def test_the_same_events_give_the_same_commands(served, new, workload):
    recording, _ = served(workload, jitter=0.3)
    twin, commands, events = new(), [], recording.events
    instants = sorted({now_ms for now_ms, _ in events} | {now_ms for now_ms, _ in recording.commands})
    k = 0
    polled = {}
    for now_ms, command in recording.commands:
        polled.setdefault(now_ms, []).append(command)
    for now_ms in instants:
        while k < len(events) and events[k][0] == now_ms:
            twin.handle(events[k][1], now_ms)
            k += 1
        if now_ms in polled:
            commands.extend((now_ms, command) for command in twin.poll(now_ms))
    assert commands == recording.commands


@given(random_workloads(), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_what_is_admitted_could_be_answered_by_the_fastest_stage(parts, served, workload, n_lanes):
    recording, _ = served(workload, n_lanes=n_lanes)
    rejected = {c.request for _, c in recording.commands if isinstance(c, Refuse) and c.reason == "rejected"}
    for i, budget_ms in enumerate(workload.budget_ms):
        if budget_ms < parts.upper_ms[0, 1]:
            assert i in rejected


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_who_was_admitted_expires_if_service_times_are_exact(served, seed):
    """Four thousand a second are more than twice what the small stage can carry, and short budgets come in between long ones."""
    budget_ms = {8.0: 0.3, 20.0: 0.4, 60.0: 0.3}
    recording, _ = served(workloads.poisson(4000.0, 250.0, budget_ms=budget_ms, n_items=900, seed=seed))
    reasons = Counter(command.reason for _, command in recording.commands if isinstance(command, Refuse))
    assert reasons["rejected"] > 200
    assert reasons["expired"] == 0


@given(random_workloads())
@settings(max_examples=60)
def test_lower_classes_do_not_go_first_twice_while_a_higher_one_waits(served, workload):
    recording, _ = served(workload)
    priority, waiting, inversions = workload.priority, {}, 0
    log = [(now_ms, 0 if isinstance(e, Finished) else 1, e) for now_ms, e in recording.events]
    log += [(now_ms, 2, c) for now_ms, c in recording.commands]
    running = {}
    for _, _, entry in sorted(log, key=lambda line: line[:2]):
        if isinstance(entry, Arrived):
            waiting[entry.request] = priority[entry.request]
        elif isinstance(entry, Finished):
            waiting.update((i, priority[i]) for i in running.pop(entry.lane))
        elif isinstance(entry, Run):
            head = priority[entry.requests[0]]
            for i in entry.requests:
                waiting.pop(i)
            inversions = inversions + 1 if any(p < head for p in waiting.values()) else 0
            assert inversions <= 1
            running[entry.lane] = entry.requests
        else:
            waiting.pop(entry.request, None)
            for lane, requests in running.items():
                running[lane] = tuple(i for i in requests if i != entry.request)


@pytest.mark.parametrize("peak_rps", [400.0, 2000.0])
def test_the_price_is_back_at_nothing_once_load_has_fallen(served, peak_rps):
    peak = workloads.poisson(peak_rps, 500.0, budget_ms=20.0, n_items=900, seed=0)
    calm = np.arange(600.0, 3000.0, 40.0)
    n = peak.n_requests + len(calm)
    workload = Workload(
        np.concatenate([peak.arrival_ms, calm]),
        np.full(n, 20.0),
        np.full(n, int(Priority.NORMAL)),
        np.concatenate([peak.item, np.arange(len(calm))]),
        np.zeros(n, bool),
    )
    recording, _ = served(workload)
    runs = recording.runs()
    unloaded = runs[-1][1].price
    loaded = [run.price for now_ms, run in runs if 100.0 < now_ms < 500.0]
    after = [run.price for now_ms, run in runs if now_ms > 600.0 + 8 * 20.0]
    assert np.mean(loaded) > unloaded
    assert set(after) == {unloaded}
