"""What a JSON file of ``benchmarks/results/`` says about speed and load, as short tables with their bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Found = Mapping[str, Any]
"""The contents of one file."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header, and what is to be said below it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: str = ""


def within(value: float, bar: float, unit: str) -> str:
    """A value beside the most that it may be."""
    return f"{value:g} {unit}, at most {bar:g}{'' if value <= bar else ': **missed**'}"


def over(value: float, bar: float, unit: str) -> str:
    """A value beside the least that it should be."""
    return f"{value:,.6g} {unit}, at least {bar:,g}{'' if value >= bar else ': **missed**'}"


def batch(found: Found) -> list[Table]:
    """One call of many rows."""
    median, (low, high) = found["replayed"]["median"], found["replayed"]["range"]
    row = [found["measured"], f"{found['n_rows']:,}", f"{low} to {high}", within(median, found["bar"], "times")]
    return [Table(["what", "rows", "range over the repeats", "median"], [row])]


def cache(found: Found) -> list[Table]:
    """Costs, hit ratios and threads."""
    bars = {"784": (5.0, 8.0), "3x224x224": (40.0, None)}
    rows = []
    for shape, costs in found["costs_us"].items():
        hit_us, miss_us = bars.get(shape, (None, None))
        for name, cost in costs.items():
            bar_us = hit_us if name.startswith("hit") else miss_us if name.startswith("miss") else None
            took_us = cost["p50_us"]
            rows.append(
                [f"{name}, {shape} float32", f"{took_us:g} µs" if bar_us is None else within(took_us, bar_us, "µs")]
            )
    ratios = [
        [
            f"{entry['stream']}, {entry['mib']} MiB",
            percent(entry["recency"]),
            percent(entry["frequency"]),
            percent(entry["lru_same_bytes"]),
        ]
        for entry in found["hit_ratios"]
    ]
    speed = found["throughput"]
    times = round(speed["with"]["per_second"] / speed["without"]["per_second"], 1)
    below = (
        f"32 threads, nine hits in ten: {over(times, 5.0, 'times the throughput')}. "
        f"A thousand threads that ask for one new input: {found['runs_for_one_key']} computation, at most 1."
    )
    return [
        Table(["what", "median"], rows),
        Table(["hits", "by recency", "by frequency", "LRU, same bytes"], ratios, below),
    ]


def first_predict(found: Found) -> list[Table]:
    """The first call beside the later ones."""
    rows = [
        [name, f"{case['first_us']:g}", f"{case['later_us']:g}", f"{case['ratio']:g}"]
        for name, case in found["conditions"].items()
    ]
    return [Table(["condition", "first, µs", "hundredth, µs", "ratio"], rows)]


def fit_speed(found: Found) -> list[Table]:
    """Fitting, solving anew, a million items, the grid."""
    rows = [
        [
            f"`fit_policy`: {case['n_stages']} stages, {case['n_items']:,} items, {case['n_classes']} classes",
            within(case["median_fit_s"], case["bar_s"], "s"),
        ]
        for case in found["cases"]
    ]
    million, grid = found["million"], found["grid"]
    rows += [
        ["the same for a million items with labels and confidences", within(million["fit_s"], 60.0, "s")],
        ["their peak of memory", within(million["peak_gib"], 4.0, "GiB")],
        [f"`threshold_grid`: {grid['n_settings']:,} settings", within(grid["median_ms"], grid["bar_ms"], "ms")],
    ]
    return [Table(["what", "measured"], rows)]


def imports(found: Found) -> list[Table]:
    """What an import costs beyond numpy's."""
    rows = []
    for i, (name, case) in enumerate(found["cases"].items()):
        beyond_ms = case["beyond_ms"]
        shown = within(beyond_ms, found["bar_ms"], "ms") if i == 0 else f"{beyond_ms:g} ms"
        rows.append([f"`{name}`", shown, ", ".join(case["loaded"]) or "none"])
    return [Table(["import", "beyond `import numpy`", "heavy libraries loaded"], rows)]


def overhead(found: Found) -> list[Table]:
    """One request beside its models."""
    rows = []
    for name, kinds in found["calls"]["difference"].items():
        for kind, figures in kinds.items():
            is_bar = name.startswith("beyond the stages") and kind == "all rows"
            took_us = figures["p50_us"]
            rows.append([name, kind, within(took_us, 10.0, "µs") if is_bar else f"{took_us:g} µs"])
    rows.append(["the decision", "", within(found["decision"]["p50_us"], 1.0, "µs")])
    return [Table(["`predict`", "rows", "median"], rows)]


def serving(found: Found) -> list[Table]:
    """Under load, in virtual time."""
    counts = [
        [
            name,
            *(str(part[key]) for key in ("cells", "ahead", "level", "behind")),
            points(part["mean"]),
            points(part["worst"]),
        ]
        for name, part in found["summary"].items()
        if isinstance(part, Mapping)
    ]
    cells = [dict(zip(found["columns"], cell, strict=True)) for cell in found["cells"]]
    by_load = []
    for load in sorted({cell["load"] for cell in cells}):
        here = [cell for cell in cells if cell["load"] == load]
        ours, best = fmean(cell["cascade"] for cell in here), fmean(cell["best"] for cell in here)
        by_load.append([f"{load:g}", percent(ours), percent(best), points(ours - best)])
    return [
        Table(["beside", "conditions", "ahead", "level", "behind", "mean, points", "worst, points"], counts),
        Table(
            ["load", "cascade", "best rule of each condition", "difference, points"],
            by_load,
            "Effective accuracy, mean over all conditions of that load; ahead and behind are beyond the 95 % interval. The best rule "
            "is picked where it is measured, which favours it.",
        ),
    ]


def simulator(found: Found) -> list[Table]:
    """Requests per second of the simulator."""
    rows = [
        [
            f"{row['pattern']}, {row['load']:g}",
            over(row["requests_per_second"], found["bar_requests_per_second"], "a second"),
            f"{row['scheduler_us']:g} of {row['us_per_request']:g}",
        ]
        for row in found["rows"]
    ]
    return [Table(["arrivals, load", "requests", "µs per request in the scheduler"], rows)]


def soak(found: Found) -> list[Table]:
    """Overload for minutes."""
    memory, requests = found["memory"], found["requests"]
    rows = [
        ["requests sent", f"{requests['n_sent']:,} in {found['minutes']:g} minutes"],
        ["memory after the warm-up", within(memory["most_mb"], 5.0, "MB more")],
        ["each ended exactly once", _yes(requests["each_ended_once"])],
        ["the predictor's counts are those of its clients", _yes(requests["counts_agree"])],
        ["in time, of all that were sent", percent(found["slo_attainment"])],
        ["strict ones that were late", percent(found["strict_late_share"], 2)],
    ]
    return [Table(["what", "measured"], rows)]


def telemetry(found: Found) -> list[Table]:
    """What watching costs."""
    rows = [
        [
            f"`{name}` with telemetry, beside without",
            within(case["difference_us"], 2.0, "µs more")
            if name == "predict"
            else f"{case['difference_us']:g} µs more",
        ]
        for name, case in found["cost"].items()
    ]
    for name, case in found.get("listening", {}).items():
        rows.append([f"`predict` heard by {name}, beside nobody", f"{case['difference_us']:g} µs more"])
    for name, scrape in found.get("scrape", {}).items():
        rows.append([f"a scrape of {scrape['lines']} lines, {name}", f"{scrape['idle_p50_ms']:g} ms"])
        busy = f"{within(scrape['busy_p50_ms'], 10.0, 'ms')}, of which {scrape['busy_cpu_p50_ms']:g} ms computed"
        rows.append(["the same beside a thread that asks for answers", busy])
    rows.append(["one histogram", within(round(found["memory"]["bytes_each"] / 1024, 2), 5.5, "KiB")])
    return [Table(["what", "measured"], rows)]


def page(found: Found) -> list[Table]:
    """The interactive page."""
    rows = [
        [
            name,
            within(round(each["bytes"] / 1e6, 2), found["bar_bytes"] / 1e6, "MB"),
            within(each["interactive_ms"], found["bar_ms"], "ms") if "interactive_ms" in each else "not measured",
            f"{each['step_ms']:g} ms" if "step_ms" in each else "not measured",
        ]
        for name, each in found["pages"].items()
    ]
    return [Table(["page", "size", "can be used after", "follows a slider in"], rows)]


def percent(share: float, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.2f}"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "**no**"
