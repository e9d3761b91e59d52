"""The page as a file: whole, safe, and of what it was given."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import cascade
from cascade.core.frontier import Frontier
from cascade.core.outcomes import Outcomes
from cascade.errors import ConfigurationError, DataError, PolicyMismatch
from cascade.explore.page import page_of

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
pytestmark = pytest.mark.slow


def data_of(page):
    return json.loads(DATA.search(page)[1])


@pytest.fixture(scope="module")
def page(ladder):
    return page_of(
        ladder.curve, policy=ladder.policy, outcomes=ladder.fresh, inputs=np.zeros((400, 8, 8)), progress=False
    )


def test_a_curve_alone_makes_a_page(ladder, tmp_path):
    ladder.curve.to_html(tmp_path / "explore.html")
    data = data_of((tmp_path / "explore.html").read_text(encoding="utf-8"))
    assert data["inputs"] == []
    assert data["lines"] == data["rows"] == []
    assert len(data["curve"]["points"]) == len(ladder.curve)
    assert f"out of fold on {ladder.curve.n_items} items" in data["about"][0]


def test_a_policy_with_outcomes_and_inputs_shows_more(page, ladder):
    data = data_of(page)
    words = data["cells"][data["at"][-1][0]]["words"]
    assert "\n".join(data["lines"][line] for line in words) == ladder.policy.explain()
    assert len(data["inputs"]) == len(data["cells"][0]["examples"])
    assert {"label", "picture"} == set(data["inputs"][0])


def test_nothing_is_loaded_from_elsewhere(page):
    outside = re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert outside == []


def test_the_security_policy_names_style_and_script_by_their_hashes(page):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    for kind, tag in (("style", "style"), ("script", "script")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"<[^>]+\son\w+=|<[^>]+\sstyle=", page.split("<script")[0])


def test_names_that_look_like_markup_are_data_and_never_markup(ladder):
    evil = ("</script><script>alert(1)</script>", "{{script}}", "<!--\u2028&amp;")
    outcomes = replace(ladder.fresh, stages=evil)
    known = replace(ladder.known, stages=evil)
    service = replace(ladder.service, stages=evil)
    curve = cascade.frontier(known, service, n_bootstrap=100, max_step=0.5, progress=False)
    policy = replace(ladder.policy, stages=evil, service=service)
    page = page_of(curve, policy=policy, outcomes=outcomes, title="<b>'&\"", progress=False)
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    assert "\u2028" not in page
    assert "<title>&lt;b&gt;&#x27;&amp;&quot;</title>" in page
    assert [single["name"] for single in data_of(page)["curve"]["singles"]] == list(evil)


def test_items_that_were_fitted_on_are_called_so(ladder, page):
    assert "flatters" not in data_of(page)["about"][-1]
    seen = page_of(ladder.curve, policy=ladder.policy, outcomes=ladder.known, progress=False)
    assert "The policy was fitted on these items, which flatters it." in data_of(seen)["about"][-1]


def test_a_promise_is_repeated_with_its_limits(ladder):
    certificate = cascade.control_risk(ladder.policy, ladder.fresh, max_risk=0.3, delta=0.2, risk="error")
    page = page_of(ladder.curve, policy=certificate.policy, outcomes=ladder.fresh, progress=False)
    said = data_of(page)["about"][-1]
    assert said == "The promise: " + " ".join(certificate.guarantee.explain().split())
    assert "Not covered: " in said


@pytest.mark.parametrize("names", [("policy",), ("outcomes",), ("inputs",), ("policy", "inputs")])
def test_what_does_not_go_together_is_refused(ladder, names):
    given = {"policy": ladder.policy, "outcomes": ladder.fresh, "inputs": np.zeros((400, 2))}
    with pytest.raises(ConfigurationError, match=f"expected policy= and outcomes= together.*, got {', '.join(names)}"):
        page_of(ladder.curve, **{name: given[name] for name in names})


def test_outcomes_of_other_stages_are_refused(ladder, tmp_path):
    others = Outcomes.from_probs(np.full((9, 2, 4), 0.25), np.arange(9) % 4)
    with pytest.raises(PolicyMismatch):
        ladder.curve.to_html(tmp_path / "explore.html", policy=ladder.policy, outcomes=others)
    assert not (tmp_path / "explore.html").exists()


def test_too_few_inputs_are_refused(ladder, tmp_path):
    with pytest.raises(DataError, match="expected one input for each of the 400 items"):
        ladder.curve.to_html(
            tmp_path / "explore.html", policy=ladder.policy, outcomes=ladder.fresh, inputs=np.zeros((3, 8, 8))
        )


def test_a_saved_curve_makes_the_same_page(ladder, tmp_path):
    ladder.curve.save(tmp_path / "curve.csv")
    assert page_of(Frontier.load(tmp_path / "curve.csv")) == page_of(ladder.curve)


def test_a_page_that_would_be_too_large_offers_fewer_choices(ladder, page, monkeypatch):
    monkeypatch.setattr("cascade.explore.page.MAX_BYTES", 60_000)
    small = page_of(ladder.curve, policy=ladder.policy, outcomes=ladder.fresh, progress=False)
    assert len(small.encode()) <= 60_000 < len(page.encode())
    data = data_of(small)
    assert data["budgets"][-1] == "no deadline"
    assert ladder.policy.explain().splitlines()[0] in data["lines"]


def test_large_colour_pictures_stay_within_the_bound_of_the_page(ladder):
    inputs = np.random.default_rng(0).random((400, 3, 224, 224), np.float32)
    page = page_of(ladder.curve, policy=ladder.policy, outcomes=ladder.fresh, inputs=inputs, progress=False)
    assert len(page.encode()) <= 2_000_000
