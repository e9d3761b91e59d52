"""How cascade stands beside its best peer at every cost: means over the seeds, paired differences, and whether the bar is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from harness.comparison import FREE, OURS
from harness.report import print_table

MAY_LOSE, MUST_LEAD = -0.2, 1.0
"""Points: no cost may be worse than the first, some cost must be as good as the second."""


def standings(limits: Sequence[float], splits: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """One entry for every cost, ready for JSON.

    Parameters
    ----------
    limits : sequence of float
        The L costs.
    splits : sequence of mappings from method to ndarray of shape (L,)
        Accuracy at equal cost, for every seed; the same methods in each.
    """
    methods = {name: np.stack([split[name] for split in splits]) for name in splits[0]}
    return [
        _standing(limit, {name: values[:, i] for name, values in methods.items()}) for i, limit in enumerate(limits)
    ]


def _standing(limit: float, by_seed: Mapping[str, np.ndarray]) -> dict[str, Any]:
    # A method that does not keep the cost in every split has no place at it.
    means = {name: float(values.mean()) for name, values in by_seed.items() if not np.isnan(values).any()}
    entry: dict[str, Any] = {"cost": limit, "accuracy": {name: round(100.0 * a, 2) for name, a in means.items()}}
    peers = {name: mean for name, mean in means.items() if name != OURS and not name.endswith(FREE)}
    if OURS in means and peers:
        best = max(peers, key=lambda name: peers[name])
        paired = 100.0 * (by_seed[OURS] - by_seed[best])
        error = float(paired.std(ddof=1) / np.sqrt(len(paired))) if len(paired) > 1 else float("nan")
        entry |= {"best_peer": best, "difference": round(float(paired.mean()), 2), "error": round(error, 2)}
    return entry


def verdict(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The worst and the best difference over the costs, and whether the bar is met."""
    compared = [entry for entry in entries if "difference" in entry]
    worst = min(compared, key=lambda entry: entry["difference"])
    best = max(compared, key=lambda entry: entry["difference"])
    met = worst["difference"] >= MAY_LOSE and best["difference"] >= MUST_LEAD
    return {"worst": _brief(worst), "best": _brief(best), "met": met}


def _brief(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("cost", "best_peer", "difference", "error")}


def names_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every method that has a place at some cost."""
    return list(dict.fromkeys(name for entry in entries for name in entry["accuracy"]))


def cells_of(entry: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """One cost as cells of a table: every method, the best peer, and the difference with its standard error."""
    found = entry["accuracy"]
    cells = [f"{entry['cost']:g}", *(f"{found[name]:.2f}" if name in found else "-" for name in names)]
    return [*cells, *([entry["best_peer"], _signed(entry)] if "difference" in entry else ["-", "-"])]


def show(entries: Sequence[Mapping[str, Any]]) -> None:
    """Print one line for every cost."""
    names = names_of(entries)
    print_table(["cost", *names, "best peer", "difference"], [cells_of(entry, names) for entry in entries])


def _signed(entry: Mapping[str, Any]) -> str:
    return f"{entry['difference']:+.2f} ± {entry['error']:.2f}"


def told(name: str, result: Mapping[str, Any]) -> list[str]:
    """A verdict as cells of a table."""
    worst, best = result["worst"], result["best"]
    return [
        name,
        *(f"{_signed(entry)} at {entry['cost']:g} ({entry['best_peer']})" for entry in (worst, best)),
        "yes" if result["met"] else "NO",
    ]


TOLD = ("set", "worst", "best", "met")
