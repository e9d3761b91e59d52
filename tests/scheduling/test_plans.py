"""What a request runs next, at the price of now."""

from math import inf

import pytest

from cascade.core.table import STOP_BYTE
from cascade.scheduling.load import IDLE, Load
from cascade.scheduling.outlook import Outlook
from cascade.scheduling.plans import level_of, next_stage

UNSURE, SURE = 0.3, 0.95
FIRSTS = (0, 1)


@pytest.fixture
def request_of(item, pair):
    """A request of the fitted policy; the large stage is worth its time up to level 25, which rules without load."""
    outlook = Outlook(pair.fitted, 8)
    return lambda deadline_ms=1000.0, **given: item(1, deadline_ms, of=outlook, **given)


def level(number, cheap_share=0.0):
    return Load(number, 1.0, cheap_share, 0.5)


def test_requests_below_the_share_take_the_price_below(request_of):
    request = request_of()
    for share, expected in [(0.0, 29), (0.39, 29), (0.4, 30), (0.9, 30)]:
        request.share = share
        assert level_of(request, level(30, cheap_share=0.4)) == expected


def test_a_request_never_pays_less_than_without_load(request_of):
    assert level_of(request_of(), IDLE) == 25
    assert level_of(request_of(), level(20)) == 25
    assert level_of(request_of(), level(26)) == 26
    assert level_of(request_of(5.0), level(26)) == 32


def test_there_is_no_price_below_the_lowest(request_of):
    request = request_of()
    request.least_level = 0
    assert level_of(request, Load(0, 0.0, 1.0, 0.5)) == 0


def test_the_price_decides_whether_an_unsure_request_goes_on(request_of):
    unsure = request_of(evidence=(0b01, UNSURE))
    assert next_stage(unsure, IDLE, inf, FIRSTS) == 1
    assert next_stage(unsure, level(25), inf, FIRSTS) == 1
    assert next_stage(unsure, level(26), inf, FIRSTS) == STOP_BYTE
    assert next_stage(request_of(evidence=(0b01, SURE)), IDLE, inf, FIRSTS) == STOP_BYTE


@pytest.mark.parametrize(("left_ms", "stage"), [(9.0, 1), (8.9, STOP_BYTE)])
def test_a_request_with_evidence_goes_on_only_with_a_stage_that_fits(request_of, left_ms, stage):
    assert next_stage(request_of(evidence=(0b01, UNSURE)), IDLE, left_ms, FIRSTS) == stage


@pytest.mark.parametrize("left_ms", [inf, 100.0, 3.0, 2.0, -5.0])
def test_a_fresh_request_begins_with_the_fastest_stage_even_if_nothing_fits(request_of, left_ms):
    assert next_stage(request_of(), IDLE, left_ms, FIRSTS) == 0


def test_where_the_planned_stage_has_failed_another_gives_the_first_answer(request_of):
    request = request_of()
    request.failed = 0b01
    assert next_stage(request, IDLE, inf, FIRSTS) == 1
    assert next_stage(request, IDLE, 1.0, FIRSTS) == 1
    request.failed = 0b11
    assert next_stage(request, IDLE, inf, FIRSTS) == STOP_BYTE


def test_where_the_stage_that_may_not_run_first_is_the_only_one_left_nothing_runs(request_of):
    request = request_of()
    request.failed = 0b01
    assert next_stage(request, IDLE, inf, (0,)) == STOP_BYTE


def test_a_request_with_evidence_does_not_run_a_stage_that_has_failed_for_it(request_of):
    request = request_of(evidence=(0b01, UNSURE))
    request.failed = 0b10
    assert next_stage(request, IDLE, inf, FIRSTS) == STOP_BYTE
