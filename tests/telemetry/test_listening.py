import logging

import pytest

from cascade.telemetry.listening import Listeners
from cascade.telemetry.requests import RequestRecord

RECORD = RequestRecord(7, 1, "normal", "answered", 1.0, 3.0, 6.0, 0.5, True)


class Heard:
    def __init__(self):
        self.records, self.begun = [], 0

    def began(self):
        self.begun += 1
        return self.begun

    def ended(self, record, began):
        self.records.append((record, began))


class Broken(Heard):
    def __init__(self, method):
        super().__init__()
        setattr(self, method, self._fail)

    def _fail(self, *_):
        raise OSError("disk full")


def test_whoever_listens_gets_back_what_they_said_when_it_began():
    listeners, heard = Listeners(), Heard()
    listeners.add(heard)
    first, second = listeners.begin(), listeners.begin()
    second.end(RECORD)
    first.end(RECORD)
    assert heard.records == [(RECORD, 2), (RECORD, 1)]


def test_the_end_is_told_once():
    listeners, heard = Listeners(), Heard()
    listeners.add(heard)
    trail = listeners.begin()
    trail.end(RECORD)
    trail.end(RECORD)
    assert len(heard.records) == 1


def test_after_stopping_only_the_ends_of_what_has_begun_are_heard():
    listeners, heard = Listeners(), Heard()
    with listeners.add(heard):
        trail = listeners.begin()
    assert listeners.active == ()
    trail.end(RECORD)
    assert len(heard.records) == 1


@pytest.mark.parametrize("method", ["began", "ended"])
def test_one_that_raises_is_logged_and_let_go_and_the_others_still_hear(caplog, method):
    listeners, heard = Listeners(), Heard()
    listeners.add(Broken(method))
    listeners.add(heard)
    with caplog.at_level(logging.ERROR, logger="cascade"):
        listeners.begin().end(RECORD)
    assert listeners.active == (heard,)
    assert len(heard.records) == 1
    assert "hears of no more requests" in caplog.text
    assert "disk full" in caplog.text


def test_in_a_child_process_nobody_listens():
    listeners = Listeners()
    listeners.add(Heard())
    listeners.renew()
    assert listeners.active == ()
