"""Batches drawn from sample rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.profiling.measure import Rows


@given(st.integers(1, 12), st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 9))
def test_rows_take_turns_whatever_the_batch_sizes(n, batch_sizes, seed):
    rows = Rows(np.arange(n), seed)
    batches = [rows.batch(size) for size in batch_sizes]
    assert [len(batch) for batch in batches] == batch_sizes
    counts = np.bincount(np.concatenate(batches), minlength=n)
    assert counts.max() - counts.min() <= 1
