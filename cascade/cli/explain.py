"""``cascade explain``: a saved policy in words, and its thresholds as a table."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from cascade.cli.text import text_table
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable


def run(options: Namespace) -> None:
    """Print what the policy does under the budget.

    Raises
    ------
    CorruptPolicy
        If the policy cannot be read.
    ConfigurationError
        If the service times cannot be read, or are of other stages.
    """
    policy = Policy.load(options.policy)
    if options.service is not None:
        policy = policy.retime(ServiceTable.load(options.service))
    if options.json:
        print(json.dumps(plan(policy, options.budget_ms), indent=1))
        return
    print(policy.explain(options.budget_ms))
    print(f"\n{thresholds_table(policy, options.budget_ms)}")
    if policy.guarantee is not None:
        print(f"\n{policy.guarantee.explain()}")


def thresholds_table(policy: Policy, budget_ms: float | None) -> str:
    """One line per set of stages and interval of confidence, with what happens there."""
    rows = [
        [
            " + ".join(row.evidence) or "(start)",
            f"{low:.3f}",
            f"{high:.3f}",
            action if action == "answer" else f"run {action}",
        ]
        for row in policy.thresholds(budget_ms)
        for low, high, action in row.intervals
    ]
    return text_table(["after", "confidence from", "to", "then"], rows, right=frozenset({1, 2}))


def plan(policy: Policy, budget_ms: float | None) -> dict[str, Any]:
    """The same as values that JSON knows; nothing is expected of thresholds set by hand."""
    return {
        "budget_ms": budget_ms,
        "explanation": policy.explain(budget_ms),
        "expected": None if policy.statistics is None else asdict(policy.expected(budget_ms)),
        "guarantee": None if policy.guarantee is None else policy.guarantee.to_dict(),
        "thresholds": [
            {
                "evidence": list(row.evidence),
                "intervals": [{"low": low, "high": high, "action": action} for low, high, action in row.intervals],
            }
            for row in policy.thresholds(budget_ms)
        ],
    }
