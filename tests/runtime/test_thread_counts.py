from threading import Thread

import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.predictor import Predictor
from cascade.runtime.thread_counts import ThreadCounts
from cascade.testing.fakes import FakeStage


def test_a_thread_is_limited_once_and_lifted_by_itself():
    stage = FakeStage("a", np.eye(2))
    counts = ThreadCounts([stage], 3)
    counts.limit()
    counts.limit()
    assert (stage.threads(), len(counts.known)) == (3, 1)
    counts.lift()
    assert (stage.threads(), len(counts.known)) == (1, 0)


def test_a_thread_that_lifts_leaves_the_others_limited():
    counts = ThreadCounts([FakeStage("a", np.eye(2))], 3)
    counts.limit()
    thread = Thread(target=lambda: (counts.limit(), counts.lift()))
    thread.start()
    thread.join()
    assert len(counts.known) == 1


def test_nothing_is_known_of_a_thread_whose_limit_failed():
    class Stubborn(FakeStage):
        def limit_threads(self, n):
            raise RuntimeError("no")

    counts = ThreadCounts([Stubborn("a", np.eye(2))], 3)
    try:
        counts.limit()
    except RuntimeError:
        assert counts.known == {}
    else:
        raise AssertionError("expected the error of the stage")


@pytest.mark.parametrize(
    ("keyword", "value"), [("threads", "many"), ("threads", 0), ("threads", 1.5), ("lanes", 0), ("lanes", "two")]
)
def test_counts_that_are_none_are_refused_by_their_name(parts, stages, clock, keyword, value):
    with pytest.raises(ConfigurationError, match=f"expected {keyword} to be .* got {value!r}"):
        Predictor(stages, parts.policy, parts.service, clock=clock, **{keyword: value})
