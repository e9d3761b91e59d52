"""Marks tell the rows that were fitted from fresh ones, and rows that look alike from rows that are the same."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.core import row_marks
from cascade.core.outcomes import Outcomes
from cascade.core.row_marks import RowMarks, digest_of_rows, marks_of_rows
from cascade.errors import ReusedData


def some_scores(n, seed=0):
    rng = np.random.default_rng(seed)
    return Outcomes.from_probs(rng.dirichlet((1.0, 1.0, 1.0), (n, 2)), np.arange(n) % 3)


def some_answers(n, seed=0, n_values=20):
    """Labels and confidences of few values: many rows say the same."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([[0, 1], rng.integers(0, 2, n - 2)])
    return Outcomes.from_predictions(rng.integers(0, 2, (n, 2)), rng.integers(0, n_values, (n, 2)) / n_values, truth)


def found(marks, outcomes):
    """How many known rows, of how many that can be told, and whether that is refused."""
    n_found, n_told = marks.n_reused(outcomes)
    try:
        marks.check_fresh(outcomes, "fresh rows", "draw others")
    except ReusedData:
        return n_found, n_told, True
    return n_found, n_told, False


def test_every_row_that_was_kept_is_known_again_in_any_order():
    outcomes = some_scores(300)
    marks = marks_of_rows(outcomes.take(np.arange(100)))
    assert found(marks, outcomes.take(np.random.default_rng(1).permutation(300))) == (100, 300, True)
    assert found(marks, outcomes.take(np.arange(100, 300))) == (0, 200, False)


def test_rows_that_are_known_are_refused_with_what_to_do():
    outcomes = some_scores(30)
    marks = marks_of_rows(outcomes.take(np.arange(12)))
    with pytest.raises(ReusedData, match="^expected fresh rows, got 12 of 30 that are known: draw others$"):
        marks.check_fresh(outcomes, "fresh rows", "draw others")


@pytest.mark.parametrize("part", ["labels", "log_probs"])
def test_a_row_with_one_number_changed_is_another_row(part):
    outcomes = some_scores(50)
    changed = getattr(outcomes, part).copy()
    changed.reshape(50, -1)[7, 0] += 1
    other = replace(outcomes, **{part: changed % 3 if part == "labels" else changed})
    assert marks_of_rows(outcomes).n_reused(other) == (49, 50)


def test_one_row_that_was_fitted_is_enough_where_rows_are_distinct():
    outcomes = some_scores(400)
    marks = marks_of_rows(outcomes.take(np.arange(200)))
    assert found(marks, outcomes.take(np.arange(199, 400))) == (1, 201, True)


def test_rows_that_merely_look_alike_are_no_reuse():
    fitted, fresh = some_answers(3000, 0), some_answers(1000, 1)
    marks = marks_of_rows(fitted)
    n_found, n_told, is_reused = found(marks, fresh)
    assert marks.repeated > 0.5
    assert (n_found > 300, n_told, is_reused) == (True, 1000, False)
    assert found(marks, fitted.take(np.arange(1000))) == (1000, 1000, True)


def test_many_rows_are_represented_by_some(monkeypatch):
    monkeypatch.setattr(row_marks, "MAX_MARKS", 100)
    fitted, fresh = some_scores(1000, 0), some_scores(1000, 1)
    marks = marks_of_rows(fitted)
    n_found, n_told, is_reused = found(marks, fitted)
    assert (len(marks.marks), n_found, n_told, is_reused) == (100, 100, 100, True)
    n_found, n_told, is_reused = found(marks, fresh)
    assert (n_found, 50 < n_told < 150, is_reused) == (0, True, False)


def test_marks_come_back_from_json():
    marks = marks_of_rows(some_scores(30))
    again = RowMarks.from_dict(marks.to_dict())
    assert (again.marks.tolist(), again.below, again.repeated) == (marks.marks.tolist(), 1 << 64, 0.0)


def test_damaged_marks_are_refused():
    data = marks_of_rows(some_scores(30)).to_dict()
    turned = RowMarks(RowMarks.from_dict(data).marks[::-1].copy(), 1 << 64, 0.0)
    with pytest.raises(ValueError, match="ascending order"):
        RowMarks.from_dict(turned.to_dict())


def test_a_set_of_rows_has_one_digest_whatever_their_order():
    outcomes = some_scores(60)
    assert digest_of_rows(outcomes) == digest_of_rows(outcomes.take(np.arange(59, -1, -1)))
    assert digest_of_rows(outcomes) != digest_of_rows(outcomes.take(np.arange(59)))
