"""Vectors of any length and size become directions, or are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade.core.directions import unit_vectors
from cascade.errors import InputMismatch

NUMBERS = st.floats(-1e300, 1e300).filter(lambda value: abs(value) > 1e-300)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=NUMBERS))
def test_every_vector_gets_the_length_one(vectors):
    units = unit_vectors(vectors)
    assert units.dtype == np.float32
    np.testing.assert_allclose((units.astype(np.float64) ** 2).sum(axis=1), 1.0, rtol=1e-6)
    assert (np.sign(units) * np.sign(vectors) >= 0).all()


def test_the_length_of_a_vector_does_not_count_and_one_vector_needs_no_row():
    assert (unit_vectors([1e-200, 0.0]) == unit_vectors([[5, 0]])[0]).all()


@pytest.mark.parametrize(
    "vectors", [[0.0, 0.0], [[1.0, 0.0], [np.nan, 1.0]], [np.inf, 1.0], [], 3.0, np.ones((2, 2, 2))]
)
def test_what_has_no_direction_is_refused(vectors):
    with pytest.raises(InputMismatch, match="expected vectors"):
        unit_vectors(vectors)
