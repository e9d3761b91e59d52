"""How cascade stands beside the published rules in every cell of the serving benchmark, and over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from harness.report import print_table
from harness.serving_cells import Cell
from harness.serving_contenders import NEXUS, OURS
from scipy.stats import t as student

FIGURES = ("effective_accuracy", "attainment_of_admitted", "slo_attainment")
ADMITTED_AT_LEAST = {False: 0.999, True: 0.99}
"""In-time answers over admitted requests, without and with spikes."""
PROTOTYPE_MAY_LEAD = 0.005
N_WORST = 12

# Prototype and the best of its five rules at 50 ms with spikes, two seeds.
PROTOTYPE: Mapping[str, Mapping[float, tuple[float, float]]] = {
    "poisson": {
        0.3: (0.855, 0.843),
        0.7: (0.850, 0.843),
        1.0: (0.843, 0.842),
        1.5: (0.825, 0.816),
        2.0: (0.807, 0.807),
        3.0: (0.727, 0.465),
    },
    "azure": {
        0.3: (0.855, 0.844),
        0.7: (0.849, 0.844),
        1.0: (0.841, 0.838),
        1.5: (0.824, 0.809),
        2.0: (0.806, 0.779),
        3.0: (0.698, 0.534),
    },
    "bursty": {
        0.3: (0.840, 0.833),
        0.7: (0.826, 0.802),
        1.0: (0.812, 0.798),
        1.5: (0.777, 0.777),
        2.0: (0.735, 0.740),
        3.0: (0.627, 0.603),
    },
}

_COLUMNS = "{:<6} {:<8} {:>4} {:<6}  {:>7}  {:>6} {:<24} {:>6} {:>6} {:<6}  {:>8}  {:>8}  {}"
HEADER = _COLUMNS.format(
    "SLO",
    "traffic",
    "load",
    "spikes",
    "cascade",
    "best",
    "rule",
    "diff",
    "±",
    "",
    "of admit",
    "in time",
    "prototype (its best rule)",
)


def standing(cell: Cell, figures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """One cell, ready for JSON; the figures of each contender have shape (seeds, figures)."""
    accuracy = {name: values[:, 0] for name, values in figures.items()}
    ours = accuracy[OURS]
    _, admitted, in_time = figures[OURS].mean(axis=0)
    entry: dict[str, Any] = {"slo": cell.slo, "traffic": cell.traffic, "load": cell.load, "spikes": cell.spikes}
    entry |= {OURS: _rounded(ours.mean()), **_beside(ours, accuracy, lambda name: name != OURS)}
    listed = _beside(ours, accuracy, lambda name: name != OURS and not name.endswith(NEXUS))
    entry["without_nexus"] = {key: listed[key] for key in ("rule", "difference", "verdict")}
    return entry | {"of_admitted": _rounded(admitted), "in_time": _rounded(in_time)}


def _beside(ours: np.ndarray, accuracy: Mapping[str, np.ndarray], counts: Callable[[str], bool]) -> dict[str, Any]:
    """The best of the rules that count, and the paired difference to it with half its 95 % interval."""
    rule = max(filter(counts, accuracy), key=lambda name: accuracy[name].mean())
    paired = ours - accuracy[rule]
    n = len(paired)
    half = float(student.ppf(0.975, n - 1) * paired.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    mean = float(paired.mean())
    verdict = "ahead" if mean > half else "behind" if mean < -half else "level"
    best = _rounded(accuracy[rule].mean())
    return {"rule": rule, "best": best, "difference": _rounded(mean), "half": _rounded(half), "verdict": verdict}


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def prototype_of(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """What the prototype and its best rule reached in this cell, where it was tried."""
    if entry["slo"] != "50" or not entry["spikes"]:
        return None
    return PROTOTYPE.get(entry["traffic"], {}).get(entry["load"])


def cells_of(entry: Mapping[str, Any]) -> str:
    """One cell as a line under `HEADER`; accuracies and shares in %, differences in points."""
    before = prototype_of(entry)
    return _COLUMNS.format(
        entry["slo"],
        entry["traffic"],
        f"{entry['load']:g}",
        "spikes" if entry["spikes"] else "-",
        _percent(entry[OURS]),
        _percent(entry["best"]),
        entry["rule"],
        _points(entry["difference"]),
        "-" if entry["half"] is None else f"{100 * entry['half']:.2f}",
        "" if entry["verdict"] == "level" else entry["verdict"],
        _percent(entry["of_admitted"]),
        _percent(entry["in_time"]),
        "" if before is None else f"{100 * before[0]:.1f} ({100 * before[1]:.1f})",
    ).rstrip()


def as_rows(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All cells, a line of JSON each."""
    columns = [name for name in found[0] if name != "without_nexus"]
    rows = [[*(entry[name] for name in columns), *entry["without_nexus"].values()] for entry in found]
    return {"columns": [*columns, *(f"{name}_without_nexus" for name in found[0]["without_nexus"])], "cells": rows}


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Print how many cells are ahead and behind, by what, and which bars are missed; the same ready for JSON."""
    for name in ("load", "slo", "traffic", "spikes"):
        print()
        print_table([name, "cells", "ahead", "level", "behind", "mean diff", "worst diff"], _by(found, name))
    told = {"all rules": _counts(found), "without Nexus drop": _counts([entry["without_nexus"] for entry in found])}
    print()
    print_table(
        ["beside", "cells", "ahead", "level", "behind", "mean diff", "worst diff"],
        [[k, *_row(v)] for k, v in told.items()],
    )
    _print_worst(found)
    short = {
        "admitted requests late": [e for e in found if (e["of_admitted"] or 1.0) < ADMITTED_AT_LEAST[e["spikes"]]],
        "more than 0.5 points below the prototype": [
            e for e in found if (p := prototype_of(e)) is not None and e[OURS] < p[0] - PROTOTYPE_MAY_LEAD
        ],
    }
    for what, entries in short.items():
        print(f"\n{what}: {len(entries)} cells")
        for entry in entries:
            print(f"  {_named(entry)}: {_percent(entry['of_admitted'])} of admitted, accuracy {_percent(entry[OURS])}")
    return told | {what: [_named(entry) for entry in entries] for what, entries in short.items()}


def _print_worst(found: Sequence[Mapping[str, Any]]) -> None:
    worst = sorted((e for e in found if e["difference"] < 0.0), key=lambda entry: entry["difference"])
    print(f"\nbelow the best rule in {len(worst)} of {len(found)} cells; the worst:")
    for entry in worst[:N_WORST]:
        print(f"  {_named(entry)}: {_points(entry['difference'])} beside {entry['rule']}")


def _by(found: Sequence[Mapping[str, Any]], name: str) -> list[list[str]]:
    values = dict.fromkeys(entry[name] for entry in found)
    return [[str(value), *_row(_counts([e for e in found if e[name] == value]))] for value in values]


def _counts(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    differences = [entry["difference"] for entry in entries]
    verdicts = [entry["verdict"] for entry in entries]
    counts = {name: verdicts.count(name) for name in ("ahead", "level", "behind")}
    return {
        "cells": len(entries),
        **counts,
        "mean": _rounded(np.mean(differences)),
        "worst": _rounded(min(differences)),
    }


def _row(counts: Mapping[str, Any]) -> list[str]:
    return [
        *(str(counts[key]) for key in ("cells", "ahead", "level", "behind")),
        *(_points(counts[k]) for k in ("mean", "worst")),
    ]


def _named(entry: Mapping[str, Any]) -> str:
    return str(Cell(entry["slo"], entry["traffic"], entry["load"], entry["spikes"]))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"
