import pytest

from cascade.errors import ConfigurationError
from cascade.scheduling.messages import Finished
from cascade.simulation.baselines.single_model import SingleModel


def test_the_stage_runs_in_the_largest_batch_that_meets_the_deadline_of_the_most_urgent(table, arrive, said):
    rule = SingleModel(table, 1)
    arrive(rule, [90.0, 16.5, 90.0, 90.0, 90.0])
    assert said(rule.poll(0.0)) == [("run", 1, (1, 0, 2))]


def test_one_stage_is_enough_for_an_answer(table, arrive, said):
    rule = SingleModel(table, 1)
    arrive(rule, [20.0])
    rule.poll(0.0)
    rule.handle(Finished(0, (0.1,), 8.0), 8.0)
    assert said(rule.poll(8.0)) == [("answer", 0, 0b10)]


@pytest.mark.parametrize("stage", [-1, 2])
def test_a_stage_that_there_is_not_is_refused(table, stage):
    with pytest.raises(ConfigurationError, match=f"expected one of 2 stages, counted from 0, got {stage}"):
        SingleModel(table, stage)
