import pytest

from cascade.errors import ConfigurationError
from cascade.simulation.baselines.arrival_rate import ArrivalRate


def test_arrivals_older_than_the_window_do_not_count():
    rate = ArrivalRate(100.0)
    for now_ms in (0.0, 10.0, 150.0, 160.0):
        rate.arrived(now_ms)
    assert rate.at(200.0) == 1000.0 * 2 / 100.0


def test_before_a_whole_window_has_passed_the_rate_is_over_the_time_since_the_first_arrival():
    rate = ArrivalRate(100.0)
    for now_ms in (1000.0, 1010.0):
        rate.arrived(now_ms)
    assert rate.at(1020.0) == 1000.0 * 2 / 20.0


def test_a_first_arrival_says_nothing_about_a_rate():
    rate = ArrivalRate(100.0)
    assert rate.at(5.0) == 0.0
    rate.arrived(5.0)
    assert rate.at(5.0) == 0.0


def test_a_window_of_no_length_is_refused():
    with pytest.raises(ConfigurationError, match="expected window_ms above 0, got 0"):
        ArrivalRate(0.0)
