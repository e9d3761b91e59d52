"""``cascade certify``: prove a promise about a saved policy on fresh saved outputs, and save the certified policy."""

from __future__ import annotations

import json
from argparse import Namespace

from cascade.calibration.risk import control_risk
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy


def run(options: Namespace) -> None:
    """Certify, save, and say what is promised.

    Raises
    ------
    CorruptPolicy
        If the policy cannot be read.
    DataError
        If the data cannot be read, were fitted on, or do not prove the promise.
    ConfigurationError
        If an argument cannot work.
    """
    certificate = control_risk(
        Policy.load(options.policy),
        Outcomes.load(options.data),
        options.max_risk,
        options.delta,
        options.risk,
        min_budget_ms=options.min_budget_ms,
        reference=options.reference,
        abstain_below=options.abstain_below,
    )
    certificate.policy.save(options.out)
    if options.json:
        print(json.dumps(certificate.guarantee.to_dict(), indent=1))
        return
    print(certificate)
    print(f"\nsaved {options.out}; the guarantee travels with it")
