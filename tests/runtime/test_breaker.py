import pytest

from cascade.runtime.breaker import Breaker


def failed(times, now_ms=0.0):
    breaker = Breaker(max_failures=3, fence_ms=100.0)
    for _ in range(times):
        breaker.note_failure(now_ms)
    return breaker


@pytest.mark.parametrize(("times", "is_fenced"), [(2, False), (3, True)])
def test_a_stage_is_fenced_after_three_failures_in_a_row(times, is_fenced):
    assert failed(times).is_fenced(0.0) is is_fenced


def test_a_fenced_stage_is_tried_again_after_a_while():
    assert failed(3).is_fenced(99.0)
    assert not failed(3).is_fenced(100.0)


def test_a_failed_trial_doubles_the_wait():
    breaker = failed(3)
    breaker.note_failure(100.0)
    assert breaker.is_fenced(299.0)
    assert not breaker.is_fenced(300.0)


def test_the_wait_never_exceeds_sixty_four_times_the_first():
    assert not failed(50).is_fenced(6400.0)


def test_one_success_forgets_the_failures():
    breaker = failed(3)
    breaker.note_success()
    breaker.note_failure(1.0)
    assert not breaker.is_fenced(1.0)
