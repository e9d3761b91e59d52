"""How far can recorded confidences be trusted, and how far those of a fitted policy?

Half of each set to fit, half to look at, one split. For every stage its own, uncalibrated confidence; for the policy the pooled
confidence of that stage alone, of all stages together, and of the answers without a deadline. ECE over 15 bins of equal
width, Brier score and negative log-likelihood of the confidence as the probability of being right, AUROC of confidence
against correctness. No bars: the table says what fitting changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness.datasets import Ladder, ladders
from harness.report import arguments, data_folder, on_one_thread, print_table, write

from cascade.calibration.fit import fit_policy
from cascade.calibration.label_shift import label_shift
from cascade.calibration.reliability import Calibration, reliability
from cascade.core.service import ServiceTable
from cascade.errors import WeakConfidenceWarning

HEADER = ["set", "source", "accuracy", "ECE", "equal mass", "Brier", "NLL", "AUROC", "± s.e."]


def figures(curve: Calibration) -> dict[str, float]:
    """What is printed and kept of one source."""
    return {
        "accuracy": float(np.nansum(curve.counts * curve.accuracy) / curve.n_items),
        "ece": curve.ece,
        "ece_equal_mass": curve.ece_equal_mass,
        "brier": curve.top_brier,
        "nll": curve.top_nll,
        "auroc": curve.auroc,
        "auroc_error": curve.auroc_error,
    }


def measure(ladder: Ladder, seed: int = 0) -> dict[str, Any]:
    """Fit on one half, look at the other."""
    order = np.random.default_rng(seed).permutation(ladder.outcomes.n_items)
    half = len(order) // 2
    fitting, fresh = ladder.outcomes.take(order[:half]), ladder.outcomes.take(order[half:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeakConfidenceWarning)
        policy = fit_policy(fitting, ServiceTable.from_costs(ladder.costs, stages=ladder.outcomes.stages))
    found = reliability(fresh, policy)
    sources = {}
    for name, curve in found.stages.items():
        sources[f"{name}, own"] = figures(curve)
        sources[f"{name}, fitted"] = figures(found.sets[name,])
    sources["all together"] = figures(found.sets[fresh.stages])
    if found.answers is not None:
        sources["answers"] = figures(found.answers)
    return {
        "set": ladder.name,
        "n_fresh": fresh.n_items,
        "sources": sources,
        "label_shift_p": label_shift(policy, fresh).p_value,
        "warnings": [str(entry.message) for entry in caught],
    }


def lines(result: dict[str, Any]) -> Iterator[list[str]]:
    """One set as rows of the table."""
    for source, found in result["sources"].items():
        yield [result["set"], source, *(f"{value:.3f}" for value in found.values())]


def main() -> None:
    options = arguments(__doc__)
    results = [measure(ladder) for ladder in ladders(data_folder(options.data))]
    print_table(HEADER, [line for result in results for line in lines(result)])
    for result in results:
        print(f"{result['set']}: p-value of a label shift between the halves {result['label_shift_p']:.3f}")
        for message in result["warnings"]:
            print(f"  warning: {message}")
    write("reliability", {"sets": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
