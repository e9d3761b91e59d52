"""Answers in one sentence, and values that stay as they were made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from cascade.core.records import Prediction, Status

ANSWER = Prediction("cat", None, 0.9, ("small", "big"), Status.ANSWERED, 5.0, 1.234, 0.1, True)


def test_an_answer_is_final_and_from_no_cache_unless_said():
    assert (ANSWER.final, ANSWER.from_cache) == (True, False)


def test_an_answer_stays_as_it_was_made():
    with pytest.raises(FrozenInstanceError):
        ANSWER.label = "dog"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "'cat' (answered, confidence 0.900) from small -> big; 1.23 ms, 5 ms allowed, in time."),
        ({"in_time": False}, "'cat' (answered, confidence 0.900) from small -> big; 1.23 ms, 5 ms allowed, late."),
        ({"budget_ms": None}, "'cat' (answered, confidence 0.900) from small -> big; 1.23 ms, no deadline, in time."),
        (
            {"path": (), "status": Status.DEGRADED},
            "'cat' (degraded, confidence 0.900) from no stage (the class prior); 1.23 ms, 5 ms allowed, in time.",
        ),
        (
            {"label": None, "status": Status.ABSTAINED},
            "no label (abstained, confidence 0.900) from small -> big; 1.23 ms, 5 ms allowed, in time.",
        ),
        (
            {"from_cache": True},
            (
                "'cat' (answered, confidence 0.900) from small -> big (some of them for an earlier request); 1.23 ms, "
                "5 ms allowed, in time."
            ),
        ),
        (
            {"from_cache": True, "path": ("big",)},
            "'cat' (answered, confidence 0.900) from big (for an earlier request); 1.23 ms, 5 ms allowed, in time.",
        ),
    ],
)
def test_an_answer_explains_itself_in_one_sentence(changed, sentence):
    assert replace(ANSWER, **changed).explain() == sentence


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, ["cat", "0.900", "small → big", "answered", "1.23, of 5 allowed", "no"]),
        ({"label": "<b>"}, ["<b>", "0.900", "small → big", "answered", "1.23, of 5 allowed", "no"]),
        (
            {"label": None, "status": Status.ABSTAINED, "in_time": False, "from_cache": True},
            ["no label", "0.900", "small → big", "abstained, late", "1.23, of 5 allowed", "yes"],
        ),
        (
            {"path": (), "status": Status.DEGRADED, "budget_ms": None},
            ["cat", "0.900", "no stage: the class prior", "degraded", "1.23, no deadline", "no"],
        ),
    ],
)
def test_a_notebook_shows_an_answer_as_a_table(changed, shown, html_words):
    words = html_words(replace(ANSWER, **changed)._repr_html_())
    assert words[::2] == ["label", "confidence", "path", "status", "time, ms", "from the cache"]
    assert words[1::2] == shown
