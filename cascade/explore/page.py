"""The interactive page: one file that works offline, with everything it says computed beforehand.

Writes a file. The page runs no code but its own: its content security policy names that by hash, and what comes from
users is data, shown as text.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core.frontier import Frontier
from cascade.core.frontier_points import ReferencePoint
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.errors import ConfigurationError, ReusedData
from cascade.explore.choices import choices_of_curve, interval, milliseconds, percent
from cascade.explore.examples import chosen_examples, shown_inputs
from cascade.explore.plans import choices_of_policy

TITLE = "What a latency budget buys"
MAX_BYTES = 1_900_000
"""A page that would be larger offers fewer prices, then fewer budgets."""
_ABOUT_LOAD = (
    "The load: requests a second on one lane, one at a time, with 80 % of its time planned. Requests that share batches take "
    "less of it, so a predictor carries more."
)
_PLACE = re.compile(r"\{\{(\w+)\}\}")
# What would end the element that holds the data, or a line of it in old readers of JavaScript.
_UNSAFE = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def write_page(
    curve: Frontier,
    path: str | Path,
    *,
    policy: Policy | None = None,
    outcomes: Outcomes | None = None,
    inputs: Any = None,
    title: str = TITLE,
    progress: bool = True,
) -> None:
    """Write the page that `Frontier.to_html` describes."""
    page = page_of(curve, policy=policy, outcomes=outcomes, inputs=inputs, title=title, progress=progress)
    Path(path).write_text(page, encoding="utf-8")


def page_of(
    curve: Frontier,
    *,
    policy: Policy | None = None,
    outcomes: Outcomes | None = None,
    inputs: Any = None,
    title: str = TITLE,
    progress: bool = True,
) -> str:
    """The page as text; parameters and errors are those of `Frontier.to_html`."""
    if (policy is None) != (outcomes is None) or (inputs is not None and outcomes is None):
        given = [
            name
            for name, value in (("policy", policy), ("outcomes", outcomes), ("inputs", inputs))
            if value is not None
        ]
        raise ConfigurationError(
            f"expected policy= and outcomes= together, and inputs= only beside them, got {', '.join(given)}: a plan is "
            "shown by replaying the policy over the outcomes, and inputs are its examples"
        )
    still: dict[str, Any] = {"curve": _curve(curve), "about": _about(curve, policy, outcomes), "inputs": []}
    if policy is None or outcomes is None:
        choices = choices_of_curve(curve)
    else:
        rows = chosen_examples(policy, outcomes) if inputs is not None else np.array([], np.int64)
        still["inputs"] = shown_inputs(inputs, outcomes, rows) if inputs is not None else []
        choices = choices_of_policy(policy, outcomes, rows, progress=progress)
    page = _filled(title, still | choices.to_dict())
    while len(page.encode()) > MAX_BYTES and len(choices.budgets) > 2:
        choices = choices.thinned()
        page = _filled(title, still | choices.to_dict())
    return page


def _filled(title: str, data: dict[str, Any]) -> str:
    """The template with its parts in place."""
    style, script = _asset("page.css"), _asset("page.js")
    security = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "title": escape(title),
        "security": security,
        "style": style,
        "script": script,
        "data": json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_UNSAFE),
    }
    # In one go, so that nothing inside a part is taken for a place.
    return _PLACE.sub(lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return files("cascade.explore").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def _curve(curve: Frontier) -> dict[str, Any]:
    """What the chart shows, and its table says."""
    points = [
        ReferencePoint("cascade", *values)
        for values in zip(
            *(getattr(curve, name).tolist() for name in ("mean_ms", "mean_cost", "accuracy", "ci_low", "ci_high")),
            strict=True,
        )
    ]
    return {
        "points": [_point(point) for point in points],
        "singles": [_point(single) for single in curve.singles],
        "oracle": _point(curve.oracle),
    }


def _point(point: ReferencePoint) -> dict[str, Any]:
    return {
        "name": point.name,
        "ms": point.mean_ms,
        "accuracy": point.accuracy,
        "low": point.ci_low,
        "high": point.ci_high,
        "said": [
            point.name,
            milliseconds(point.mean_ms),
            percent(point.accuracy),
            interval(point.ci_low, point.ci_high),
        ],
    }


def _about(curve: Frontier, policy: Policy | None, outcomes: Outcomes | None) -> list[str]:
    """What the numbers are, a few sentences each."""
    groups = "" if curve.n_groups is None else f" in {curve.n_groups} groups"
    about = (
        f"The curve: accuracy at every mean time, out of fold on {curve.n_items} items{groups}; its band holds "
        f"{100 * curve.confidence:.4g} % intervals, for each point by itself. The oracle knows which stage is right, and is "
        "out of reach."
    )
    if policy is None or outcomes is None:
        return [
            about,
            _ABOUT_LOAD,
            "The numbers: the most accurate point of the curve that fits the budget and the load.",
        ]
    fresh = "" if _is_fresh(policy, outcomes) else " The policy was fitted on these items, which flatters it."
    numbers = (
        f"The numbers: what the policy does on {outcomes.n_items} labelled items, replayed with mean times; 95 % Wilson "
        f"intervals.{fresh} The plan in words is that of policy.explain, whose expectation is cross-fitted on the items "
        "that were fitted."
    )
    promise = [] if policy.guarantee is None else [f"The promise: {' '.join(policy.guarantee.explain().split())}"]
    return [about, _ABOUT_LOAD, numbers, *promise]


def _is_fresh(policy: Policy, outcomes: Outcomes) -> bool:
    if policy.rows is None:
        return True
    try:
        policy.rows.check_fresh(outcomes, "fresh items", "")
    except ReusedData:
        return False
    return True
