"""Bars over long work: on standard error, once it has taken long, and only if wanted."""

from __future__ import annotations

import sys
import warnings

import pytest

from cascade.core.progress import progress_bar, with_progress


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("cascade.core.progress._SHOWN_AFTER_S", 0.0)


def test_steps_are_those_given_if_no_bar_is_wanted():
    steps = range(3)
    assert with_progress(steps, False, desc="fit", unit="set") is steps


def test_a_bar_passes_every_step_on_and_names_the_work(at_once, capsys):
    assert list(with_progress(range(3), True, desc="fit", unit="set")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert not out
    assert "fit" in err


def test_a_bar_that_is_moved_by_hand_shows_how_many_steps_there_are(at_once, capsys):
    with progress_bar(2, True, desc="profile", unit="cell") as advance:
        advance()
        advance()
    assert "0/2" in capsys.readouterr().err


def test_short_work_is_quiet(capsys):
    list(with_progress(range(3), True, desc="fit", unit="set"))
    with progress_bar(2, True, desc="profile", unit="cell") as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_an_unwanted_bar_is_moved_all_the_same(at_once, capsys):
    with progress_bar(2, False, desc="profile", unit="cell") as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_what_tqdm_says_about_the_notebook_it_runs_in_is_not_passed_on(monkeypatch):
    class Talkative:
        @property
        def tqdm(self):
            warnings.warn("IProgress not found", stacklevel=1)
            return lambda steps, **_: steps

    monkeypatch.setitem(sys.modules, "tqdm.auto", Talkative())
    assert list(with_progress([1], True, desc="fit", unit="set")) == [1]
