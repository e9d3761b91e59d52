import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Faulted, Finished
from cascade.simulation.baselines.chains import Chain
from cascade.simulation.baselines.static_cascade import StaticCascade


@pytest.fixture
def rule(table):
    return StaticCascade(table, Chain((0, 1), (0.8,)), max_batch=8)


def test_sure_requests_are_answered_and_unsure_ones_go_on_together(rule, arrive, said):
    arrive(rule, [50.0, 51.0, 52.0])
    assert said(rule.poll(0.0)) == [("run", 0, (0, 1, 2))]
    rule.handle(Finished(0, (0.5, 0.8, 0.79), 5.0), 5.0)
    assert said(rule.poll(5.0)) == [("answer", 1, 0b01), ("run", 1, (0, 2))]
    rule.handle(Finished(0, (0.1, 0.2), 12.0), 17.0)
    assert said(rule.poll(17.0)) == [("answer", 0, 0b11), ("answer", 2, 0b11)]


def test_the_most_urgent_request_decides_which_stage_runs(rule, arrive, said):
    arrive(rule, [50.0])
    rule.poll(0.0)
    arrive(rule, [49.0, 60.0], now_ms=1.0, first=1)
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    assert said(rule.poll(3.0)) == [("run", 0, (1, 2))]


def test_an_unsure_request_whose_next_stage_does_not_fit_is_answered_from_what_it_has(rule, arrive, said):
    arrive(rule, [10.9])
    rule.poll(0.0)
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    assert said(rule.poll(3.0)) == [("degraded", 0, 0b01)]


def test_a_fault_further_up_leaves_the_answer_there_is(rule, arrive, said):
    arrive(rule, [50.0])
    rule.poll(0.0)
    rule.handle(Finished(0, (0.5,), 3.0), 3.0)
    rule.poll(3.0)
    rule.handle(Faulted(0), 5.0)
    assert said(rule.poll(5.0)) == [("degraded", 0, 0b01)]


def test_a_chain_over_other_stages_is_refused(table):
    with pytest.raises(ConfigurationError, match="expected a chain over 2 stages"):
        StaticCascade(table, Chain((0, 2), (0.8,)))
