import numpy as np
import pytest

from cascade.core.outcomes import InputSpec
from cascade.errors import ConfigurationError, EmptyBatch, InputMismatch, NotFinite
from cascade.runtime.request import InputCheck, checked_terms, deadline_of, sample_inputs

SPEC = InputSpec.of_batch(np.zeros((4, 2)))


def test_a_budget_counts_from_the_call_and_a_deadline_does_not():
    assert deadline_of(10.0, 5.0, None) == 15.0
    assert deadline_of(10.0, None, 5.0) == 5.0
    assert deadline_of(10.0, None, None) == float("inf")


@pytest.mark.parametrize("budget_ms", [-1.0, float("nan")])
def test_a_budget_below_zero_or_not_a_number_is_refused(budget_ms):
    with pytest.raises(ConfigurationError, match="expected budget_ms >= 0, or None for no deadline"):
        deadline_of(0.0, budget_ms, None)


def test_unknown_terms_are_refused():
    with pytest.raises(ConfigurationError, match="fastest"):
        checked_terms("slowest", None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_are_not_finite_are_refused_unless_allowed(bad, dtype):
    batch = np.array([[0.0, bad]], dtype)
    with pytest.raises(NotFinite, match="check_finite=False"):
        InputCheck(None, True).check(batch)
    InputCheck(None, False).check(batch)


@pytest.mark.parametrize("batch", [np.zeros((1, 3)), np.zeros((1, 2), np.int64), [[0.0, 0.0]]])
def test_what_was_not_fitted_is_refused(batch):
    with pytest.raises(InputMismatch, match="as fitted"):
        InputCheck(SPEC, True).check(batch)


def test_an_empty_batch_is_refused():
    with pytest.raises(EmptyBatch):
        InputCheck(None, True).many(np.zeros((0, 2)), None)


def test_the_check_looks_at_what_preprocessing_returns():
    batch = InputCheck(SPEC, True).many(["a", "b"], lambda texts: np.zeros((len(texts), 2)))
    assert batch.shape == (2, 2)


def test_made_up_inputs_pass_the_check():
    InputCheck(SPEC, True).check(sample_inputs(SPEC))
    assert sample_inputs(None) is None
