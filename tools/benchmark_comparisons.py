"""What a JSON file of ``benchmarks/results/`` says about accuracy, promises and confidence, as short tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.benchmark_figures import Found, Table, percent

_SHOWN_MODEL_FREE = ("single", "hull", "grid")


def frontier(found: Found) -> list[Table]:
    """Accuracy at equal cost."""
    rows, verdicts = [], []
    for name, ladder in found["ladders"].items():
        for point in _thinned(ladder["points"]):
            peers = [_accuracy(point[kind]) for kind in _SHOWN_MODEL_FREE]
            rows.append([name, f"{point['cost']:g}", _accuracy(point["matched"]), *peers])
        verdict = ladder["verdict"]
        best, worst = (
            f"{verdict[end]['difference']:+.2f} ± {verdict[end]['error']:.2f} ({verdict[end]['best_peer']})"
            for end in ("best", "worst")
        )
        verdicts.append([name, ladder["unit"], best, worst, "yes" if verdict["met"] else "**no**"])
    return [
        Table(
            ["data", "mean cost", "cascade", "best single model", "mixtures of two", "grid of thresholds"],
            rows,
            "Held-out accuracy, mean over five seeds. The grid is the best chain of plain confidence thresholds over all orders of the "
            "models.",
        ),
        Table(
            ["data", "unit of cost", "best difference", "worst difference", "bar met"],
            verdicts,
            "Points of accuracy against the best of the published rules at the same cost, over all costs, paired over the seeds. "
            "Bar: nowhere worse than -0.2, somewhere at least +1.",
        ),
    ]


def learning_curves(found: Found) -> list[Table]:
    """How much labelled data it takes."""
    sizes = sorted({entry["n_fit"] for entries in found["ladders"].values() for entry in entries})
    rows = []
    for name, entries in found["ladders"].items():
        costs = sorted({entry["cost"] for entry in entries})
        middle = costs[len(costs) // 2]
        at = {entry["n_fit"]: entry for entry in entries if entry["cost"] == middle}
        rows.append([name, f"{middle:g}", *(_difference(at[size]) if size in at else "" for size in sizes)])
    header = ["data", "mean cost", *(f"{size:,} items" for size in sizes)]
    return [
        Table(
            header,
            rows,
            "Points of accuracy against the best published rule that was fitted on the same items, at a middling cost.",
        )
    ]


def pooling(found: Found) -> list[Table]:
    """Several models together."""
    verdict = found["verdict"]
    rows = [
        [
            name,
            str(part["cells"]),
            f"{part['mean'][0]:+.2f}",
            f"{part['ahead'][0]} / {part['behind'][0]}",
            f"{part['mean'][1]:+.4f}",
            f"{part['ahead'][1]} / {part['behind'][1]}",
        ]
        for name, part in verdict["cascade_less"].items()
    ]
    worse = "; ".join(verdict["worse"]) or "none"
    below = f"Beyond two standard errors worse than the best model, known afterwards only: {worse}, of {verdict['n_cells']}."
    header = ["cascade's pooling less", "cells", "points of accuracy", "ahead / behind", "log-loss", "ahead / behind"]
    return [Table(header, rows, below)]


def reliability(found: Found) -> list[Table]:
    """How far confidences can be trusted."""
    rows = []
    for part in found["sets"]:
        sources = part["sources"]
        own = next(figures for name, figures in reversed(sources.items()) if name.endswith(", own"))
        shown = [sources["answers"][key] for key in ("ece", "auroc", "accuracy")]
        rows.append(
            [
                part["set"],
                f"{own['ece']:.3f}",
                f"{shown[0]:.3f}",
                f"{own['auroc']:.3f}",
                f"{shown[1]:.3f}",
                percent(shown[2]),
            ]
        )
    header = ["data", "ECE, largest model's own", "ECE, answers", "AUROC, own", "AUROC, answers", "accuracy of answers"]
    return [Table(header, rows, "The largest model is the last of its ladder.")]


def risk(found: Found) -> list[Table]:
    """How often promises are broken."""
    rows = []
    for part in found["sets"]:
        rules = part["cells"][0]["broken"]
        rows.append([part["name"], *(percent(max(cell["broken"][rule] for cell in part["cells"])) for rule in rules)])
    header = ["data", *found["sets"][0]["cells"][0]["broken"]]
    below = (
        f"Share of {found['n_trials']:,} samples whose chosen price breaks the promise, in the worst of "
        f"{len(found['sets'][0]['cells'])} settings of each set, at delta = {found['delta']:g}; the bar is {percent(found['bar'])}. "
        "CRC promises less: the expected risk."
    )
    return [Table(header, rows, below)]


def values(found: Found) -> list[Table]:
    """Other ways to decide whether to go on."""
    rows = [
        [name, *(_mean(found["verdict"][group][name]) for group in found["verdict"])]
        for name in next(iter(found["verdict"].values()))
    ]
    return [
        Table(
            ["instead of the table", *found["verdict"]],
            rows,
            "Points of accuracy more or less than by the table that cascade fits, mean over costs and sets, with its standard error.",
        )
    ]


def _thinned(points: list[Any], most: int = 3) -> list[Any]:
    """The first, the middle and the last of many."""
    return points if len(points) <= most else [points[0], points[len(points) // 2], points[-1]]


def _accuracy(figures: Mapping[str, Any] | None) -> str:
    return "" if figures is None else percent(figures["accuracy"])


def _difference(entry: Mapping[str, Any]) -> str:
    return f"{entry['difference']:+.2f} ± {entry['error']:.2f}" if "difference" in entry else ""


def _mean(part: Mapping[str, Any]) -> str:
    return f"{part['mean']:+.3f} ± {part['error']:.3f}"
