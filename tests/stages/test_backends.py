import sys

import pytest
import torch

from cascade.errors import ConfigurationError
from cascade.stages.backends import (
    all_threads,
    limit_all_threads,
    limit_pool_threads,
    limit_torch_threads,
    pool_threads,
    torch_threads,
)

PAIRS = [(torch_threads, limit_torch_threads), (pool_threads, limit_pool_threads), (all_threads, limit_all_threads)]


@pytest.mark.parametrize(("threads", "limit"), PAIRS)
def test_a_limit_holds_inside_and_is_taken_back(threads, limit):
    before = threads()
    with limit(before + 1):
        assert threads() == before + 1
    assert threads() == before


@pytest.mark.parametrize(("threads", "limit"), PAIRS)
def test_a_limit_is_taken_back_after_an_error(threads, limit):
    before = threads()
    with pytest.raises(KeyError), limit(before + 1):
        raise KeyError
    assert threads() == before


@pytest.mark.parametrize(("threads", "limit"), PAIRS)
def test_limits_nest(threads, limit):
    with limit(3):
        with limit(2):
            assert threads() == 2
        assert threads() == 3


@pytest.mark.parametrize("limit", [limit for _, limit in PAIRS])
@pytest.mark.parametrize("n", [0, -1, 1.0, True, None])
def test_a_limit_below_one_or_not_an_integer_is_refused(limit, n):
    with pytest.raises(ConfigurationError, match=f"expected a number of threads of at least 1, got {n!r}"), limit(n):
        pass


def test_without_torch_only_the_pools_count(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with limit_all_threads(3):
        assert all_threads() == pool_threads() == 3


def test_torch_counts_where_it_is_loaded():
    with limit_all_threads(3):
        assert torch.get_num_threads() == 3
