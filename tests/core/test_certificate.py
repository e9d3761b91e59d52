"""What a certificate shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cascade.core.certificate import Certificate
from cascade.core.guarantee import Guarantee
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable

PROMISE = Guarantee(
    price=0.02,
    risk="drop",
    reference="<big>",
    max_risk=0.01,
    delta=0.05,
    bound="betting",
    n=500,
    n_groups=None,
    min_budget_ms=3.0,
    abstain_below=None,
    path=(0.01, 0.02),
    shown=0.004,
    n_uses=1,
)
POLICY = replace(Policy.from_thresholds([0.9], ServiceTable.from_costs([1.0, 4.0])), guarantee=PROMISE)


def test_a_notebook_shows_the_terms_and_the_promise_in_words(html_words):
    words = html_words(Certificate(POLICY)._repr_html_())
    assert words[:7] == ["Certificate", "risk", "drop, against <big>", "at most", "0.01", "with probability", "0.95"]
    assert " ".join(words[15:]) == Certificate(POLICY).explain().replace("\n", " ")


@pytest.mark.parametrize("reference", [None, "big"])
def test_a_risk_without_a_reference_stands_alone(reference, html_words):
    policy = replace(POLICY, guarantee=replace(PROMISE, risk="error", reference=reference))
    assert html_words(Certificate(policy)._repr_html_())[2] == ("error" if reference is None else "error, against big")


def test_a_notebook_shows_that_a_policy_is_certified(html_words):
    assert html_words(POLICY._repr_html_())[0].endswith("certified: drop at most 0.01 from 3 ms on")
