"""Plans in words: what they say must be so, and must read."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.policy import Policy
from cascade.core.prices import Expected
from cascade.core.service import ServiceTable
from cascade.core.wording import Circumstances, ThresholdRow, Thresholds, explain_chain, explain_plan

NAMES = ("linear", "small", "big")
SERVICE = ServiceTable.from_costs([1.0, 4.0, 10.0], stages=NAMES)
UNDER = Circumstances(5.0, "linear", 1.25, 0.99, 900, costs_count=False)
START = ThresholdRow((), ((0.0, 1.0, "linear"),))
DONE = ThresholdRow(("linear",), ((0.0, 1.0, "answer"),))
NOTHING = ThresholdRow((), ((0.0, 1.0, "answer"),))


def lines_of(outlook, best, under=UNDER, rows=(START, DONE)):
    return explain_plan(Thresholds(rows), under, outlook, best).splitlines()


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        (((0.0, 1.0, "answer"),), "answer"),
        (((0.0, 1.0, "big"),), "run big"),
        (((0.0, 0.9, "big"), (0.9, 1.0, "answer")), "answer at confidence >= 0.900, else run big"),
        (
            ((0.0, 0.4, "small"), (0.4, 0.76, "big"), (0.76, 1.0, "answer")),
            "answer at confidence >= 0.760, run big from 0.400, else run small",
        ),
        (((0.0, 0.3, "answer"), (0.3, 1.0, "big")), "run big at confidence >= 0.300, else answer"),
        (((0.0, 0.99996, "big"), (0.99996, 1.0, "answer")), "answer at confidence >= 0.99996, else run big"),
        (((0.0, 1.0, "big"), (1.0, 1.0, "answer")), "answer at confidence >= 1.000, else run big"),
    ],
)
def test_a_row_reads_from_the_surest_down(intervals, words):
    assert str(ThresholdRow(("linear", "small"), intervals)) == f"after linear + small: {words}"


def test_the_first_row_says_what_runs_first():
    assert str(START) == "start: run linear"
    assert str(NOTHING) == "start: no stage fits"


def test_rows_are_a_sequence():
    rows = Thresholds((START, DONE))
    assert len(rows) == 2
    assert list(rows) == [rows[0], rows[1]]
    assert list(rows[1:]) == [DONE]
    assert str(rows) == "start: run linear\nafter linear: answer"


def test_the_confidence_from_which_a_set_answers():
    assert DONE.exit_at == 0.0
    assert START.exit_at is None
    assert ThresholdRow(("linear",), ((0.0, 0.9, "big"), (0.9, 1.0, "answer"))).exit_at == 0.9


def test_a_plan_says_what_it_expects_and_gives_up():
    assert lines_of(Expected(0.95, 4.0, 4.0), Expected(0.9526, 8.5, 8.5)) == [
        "Plan for 5 ms:",
        "  start: run linear",
        "  after linear: answer",
        "Expected: accuracy 0.9500, 4 ms on average (cross-fitted on 900 labelled items).",
        "Given up against the most accurate plan that fits: 0.26 points of accuracy, to save 4.5 ms on average.",
    ]


def test_a_cost_of_its_own_is_said_beside_the_time():
    assert "4 ms and cost 92.9 on average" in lines_of(Expected(0.95, 4.0, 92.9), Expected(0.95, 4.0, 92.9))[3]


def test_what_is_hardly_given_up_is_not_said_to_be_nothing():
    assert "less than 0.01 points" in lines_of(Expected(0.95, 4.0, 4.0), Expected(0.95001, 8.5, 8.5))[4]


def test_the_slowest_plan_gives_up_nothing():
    same = Expected(0.95, 4.0, 4.0)
    assert lines_of(same, same)[4] == "Nothing is given up: this is the most accurate plan that fits."


def test_where_costs_count_the_dearer_plan_is_not_called_the_most_accurate():
    under = Circumstances(None, "linear", 1.25, 0.99, 900, costs_count=True)
    lines = lines_of(Expected(0.95, 4.0, 9.0), Expected(0.9526, 8.5, 20.0), under)
    assert lines[0] == "Plan without a deadline:"
    assert lines[4].startswith("Given up against the best plan that fits, time being free: 0.26 points")


def test_where_nothing_fits_it_says_what_is_needed_and_what_happens():
    lines = lines_of(Expected(0.66, 1.0, 1.0), Expected(0.66, 1.0, 1.0), rows=(NOTHING,))
    assert lines[1] == "  start: no stage fits"
    assert lines[2] == (
        "Even linear needs 1.25 ms (0.99 quantile of its time); by default it answers all the same, late, "
        "with an expected accuracy of 0.6600."
    )
    assert len(lines) == 3


def test_a_chain_promises_no_accuracy():
    text = explain_chain(Thresholds((START, DONE)), UNDER)
    assert text.splitlines()[0] == "Plan for 5 ms, thresholds set by hand:"
    assert text.endswith("Expected accuracy: unknown for thresholds set by hand; replay them over outcomes.")
    late = explain_chain(Thresholds((NOTHING,)), UNDER)
    assert late.endswith(
        "Even linear needs 1.25 ms (0.99 quantile of its time); by default it answers all the same, late."
    )


@pytest.fixture(scope="module")
def policy(ladder):
    return fit_policy(ladder(stages=NAMES), SERVICE)


@pytest.mark.parametrize("budget_ms", [0.0, 0.99, 1.0, 4.5, 5.0, 14.9, None])
def test_what_is_said_is_what_the_replay_does(policy, ladder, budget_ms):
    text, result = policy.explain(budget_ms), policy.replay(ladder(seed=4, n=3000, stages=NAMES), budget_ms)
    first = {path[0] for path in result.path_counts}
    if "no stage fits" in text:
        assert budget_ms < 1.0
        assert first == {"linear"}
        assert result.time_ms.min() > budget_ms
        said = float(text.rsplit(" ", 1)[1].rstrip("."))
    else:
        assert f"start: run {first.pop()}" in text
        said = float(text.split("accuracy ")[1].split(",")[0])
    # Two standard errors of 900 fitted and 3000 fresh rows.
    assert said == pytest.approx(result.accuracy, abs=0.035)
    reached = {
        tuple(line.strip().removeprefix("after ").split(":")[0].split(" + "))
        for line in text.splitlines()
        if "after" in line
    }
    answered = {tuple(name for name in NAMES if name in path) for path in result.path_counts}
    assert "no stage fits" in text or answered <= reached


def test_a_chain_in_words_names_its_own_thresholds():
    text = Policy.from_thresholds([0.9, 0.85], SERVICE).explain(5.0)
    assert "after linear: answer at confidence >= 0.900, else run small" in text
    assert "after linear + small: answer\n" in text


def test_a_threshold_in_words_is_the_one_that_decides(policy):
    table = policy.table(15.0)
    for row in policy.thresholds(15.0)[1:]:
        s = sum(1 << NAMES.index(name) for name in row.evidence)
        left_ms = 15.0 - float(policy.times().mean_ms[[NAMES.index(name) for name in row.evidence]].sum())
        for low, high, action in row.intervals:
            for confidence in np.linspace(low, high, 5)[:-1]:
                found = table.action(s, float(confidence), left_ms)
                assert (NAMES[found] if found >= 0 else "answer") == action


def test_a_notebook_shows_a_row_for_each_set_of_stages(html_words):
    assert html_words(Thresholds((START, DONE))._repr_html_()) == ["start", "run linear", "after linear", "answer"]
