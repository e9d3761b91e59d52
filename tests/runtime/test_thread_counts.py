from threading import Thread

import numpy as np

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
