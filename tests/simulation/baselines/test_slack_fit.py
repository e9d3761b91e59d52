import pytest

from cascade.errors import ConfigurationError
from cascade.simulation.baselines.slack_fit import SlackFit


@pytest.mark.parametrize(
    ("deadlines_ms", "stage", "n"),
    [
        pytest.param([20.0], 1, 1, id="a lone request with time gets the large stage"),
        pytest.param([7.9], 0, 1, id="one with less than the large stage takes gets the small one"),
        pytest.param([20.0] * 4, 1, 4, id="all who wait fit into one large batch"),
        pytest.param([20.0] * 5, 0, 5, id="a fifth does not, and the small stage has more right answers"),
        pytest.param([12.0] * 3, 0, 3, id="less slack, smaller stage"),
        pytest.param([12.0] * 2, 1, 2, id="but not if it gains nothing"),
    ],
)
def test_the_pair_with_the_most_right_answers_that_fits_the_slack_is_chosen(table, arrive, deadlines_ms, stage, n):
    rule = SlackFit(table, [0.75, 0.9], max_batch=8)
    arrive(rule, deadlines_ms)
    [run] = rule.poll(0.0)
    assert (run.stage, len(run.requests)) == (stage, n)


def test_of_stages_with_equally_many_right_answers_the_faster_runs(table, arrive):
    rule = SlackFit(table, [0.8, 0.8])
    arrive(rule, [50.0])
    assert rule.poll(0.0)[0].stage == 0


def test_accuracies_of_other_stages_are_refused(table):
    with pytest.raises(ConfigurationError, match="for each of 2 stages"):
        SlackFit(table, [0.7, 0.8, 0.9])
