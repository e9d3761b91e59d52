from concurrent.futures import Future

import pytest
from harness.soak_traffic import Tally, ending_of

from cascade.errors import Expired, Rejected, Unavailable


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, "answered"),
        (Rejected("full"), "rejected"),
        (Expired("late"), "expired"),
        (Unavailable("broken"), "Unavailable"),
    ],
)
def test_endings_have_the_words_of_the_counters_and_others_their_own(error, ending):
    assert ending_of(error) == ending


def test_a_request_that_ends_twice_or_never_is_noticed():
    tally = Tally(8)
    first, second = tally.sent(), tally.sent()
    tally.end(first, "answered")
    assert not tally.is_whole()
    tally.end(second, "answered")
    assert tally.is_whole()
    tally.end(second, "answered")
    assert not tally.is_whole()


def test_a_cancelled_future_counts_as_cancelled():
    tally, future = Tally(8), Future()
    future.cancel()
    tally.end_future(tally.sent(), future)
    assert tally.endings == {"cancelled": 1}
