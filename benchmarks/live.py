"""Does a predictor with threads, on this machine and its clock, do what the simulator said it would?

Four residual networks on CIFAR-10, profiled when the script starts, on one lane. A thread sends Poisson arrivals through `submit`, each
at its instant and with 50 ms from that instant on, whenever it is really sent; the simulator gets the same requests. The load is a multiple
of what the largest network can carry in batches of 32. Every policy is served by the same scheduler:

cascade            fitted on one half of the items, the other half is asked for
largest, smallest  one network for everything
static chain       the smallest network, and the largest where it is less sure than 0.8

Effective accuracy counts late and missing answers as wrong, over all requests; an answer is there when its future is done. The order
of two policies counts where they are more than a point apart in both worlds.

The simulator knows the profiled times alone. "As measured" is what it says when every time is multiplied by what batches took over what was
profiled (factor), and the time from one batch to the next where a lane is never idle is added (+ ms): what drift of the machine and the
work between batches explain.

Before each run what is in memory is frozen out of garbage collection (`gc.freeze`), as a service should after its start: a full
collection stops everybody for longer than the budget.

The last column says how many cores other processes kept busy meanwhile, on average: with more than a little there, service times are
not what was profiled, and the two worlds differ.

Then cascade alone, with and without strict deadlines, with the cores otherwise idle and with a thread of pure Python beside that
never waits, under the interpreter's usual interval for switching threads (5 ms) and a shorter one; and the same with networks that were
traced (`torch.jit.trace`), which go from their first operation to the last without the interpreter.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import combinations, product
from typing import Any

import numpy as np
from harness.live_ladder import Ladder, Served, as_measured, ladder
from harness.pacing import Live, busy_thread, served_live
from harness.report import data_folder, on_one_thread, parser_of, print_table, write
from harness.serving_cells import capacity_rps

from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.simulation.simulate import simulate
from cascade.simulation.workloads import Workload, poisson

BAR_POINTS, LATE_BAR = 2.0, 0.005
LOADS, QUICK_LOADS = (0.3, 1.0, 2.0, 3.0), (0.3, 2.0)
STRICT_LOADS = (1.0, 2.0)
BESIDE = {"idle": None, "busy, 5 ms": 5.0, "busy, 0.5 ms": 0.5}
"""What is beside, with the interpreter's interval for switching threads."""
BUDGET_MS = 50.0
SHORTEST_MS, N_REQUESTS = 6000.0, 1500
QUICK_MS, N_QUICK = 2000.0, 200
CELL_MS, HEAT_MS, QUICK_CELL_MS = 600.0, 2000.0, 150.0
SIMULATED = 3
"""Seeds of the service times in the simulation, whose figures are averaged."""


def offered(asked: argparse.Namespace, found: Ladder, load: float) -> Workload:
    """The requests of one load, for everyone the same."""
    shortest_ms, n = (QUICK_MS, N_QUICK) if asked.quick else (SHORTEST_MS, N_REQUESTS)
    rate = load * capacity_rps(found.service)
    duration_ms = max(shortest_ms, 1000.0 * n / rate)
    return poisson(rate, duration_ms, n_items=len(found.labels), budget_ms=BUDGET_MS, seed=round(10 * load))


def cell(served: Served, predictor: Predictor, found: Ladder, load: float, workload: Workload) -> dict[str, Any]:
    """One policy at one load, live and simulated."""
    served.ran.clear()
    live = served_live(predictor, found.images, found.labels, workload)
    simulated, in_time = simulation(served, workload, served.policy.service)
    table, differs = as_measured(served.policy.service, served.ran)
    told_so, _ = simulation(served, workload, table)
    return {
        "load": load,
        "policy": served.name,
        "n_requests": workload.n_requests,
        "live": round(live.effective_accuracy, 4),
        "simulated": round(simulated, 4),
        "points_apart": round(100.0 * (live.effective_accuracy - simulated), 2),
        "in_time_live": round(live.slo_attainment, 4),
        "in_time_simulated": round(in_time, 4),
        "simulated_as_measured": round(told_so, 4),
        **differs,
        **lateness(live),
    }


def simulation(served: Served, workload: Workload, service: ServiceTable) -> tuple[float, float]:
    """Effective accuracy and share in time with these service times, averaged over seeds."""
    reports = [
        simulate(served.policy, served.outcomes, workload, service=service, seed=seed, progress=False)
        for seed in range(SIMULATED)
    ]
    figures = np.mean([[report.effective_accuracy, report.slo_attainment] for report in reports], axis=0)
    return float(figures[0]), float(figures[1])


def lateness(live: Live) -> dict[str, float]:
    """How late answers were, and how late requests were sent."""
    return {
        "late_share": round(live.late_share, 5),
        "late_by_2_ms_share": round(live.much_late_share, 5),
        "sent_late_p99_ms": round(float(np.quantile(live.sent_late_ms, 0.99)), 2),
        "cores_of_others": live.cores_of_others,
    }


def cells(asked: argparse.Namespace, found: Ladder) -> list[dict[str, Any]]:
    """Every policy at every load; the policies take turns at a load."""
    entries = []
    predictors = [served.predictor(found.images) for served in found.policies]
    for load in QUICK_LOADS if asked.quick else LOADS:
        workload = offered(asked, found, load)
        for served, predictor in zip(found.policies, predictors, strict=True):
            entries.append(cell(served, predictor, found, load, workload))
            print(".", end="", flush=True)
    for predictor in predictors:
        predictor.close()
    print()
    return entries


def beside_others(asked: argparse.Namespace, found: Ladder) -> list[dict[str, Any]]:
    """Cascade with what else the interpreter does, with and without strict deadlines."""
    entries = []
    contenders = (("", found.policies[0]), (", traced", found.traced))
    loads = STRICT_LOADS[: 1 if asked.quick else None]
    for (beside, switch_ms), (how, served), load in product(BESIDE.items(), contenders, loads):
        workload = offered(asked, found, load)
        # A new one each time, as it learns how slow its stages are and how late its threads wake up.
        with served.predictor(found.images) as predictor:
            for is_strict in (False, True):
                with nullcontext() if switch_ms is None else busy_thread(switch_ms):
                    live = served_live(predictor, found.images, found.labels, workload, is_strict=is_strict)
                entries.append(
                    {
                        "load": load,
                        "beside": beside + how,
                        "is_strict": is_strict,
                        "effective_accuracy": round(live.effective_accuracy, 4),
                        "in_time": round(live.slo_attainment, 4),
                        **lateness(live),
                        "wake_late_ms": round(predictor.stats().wake_late_ms, 3),
                    }
                )
                print(".", end="", flush=True)
    print()
    return entries


def order_of(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pairs of policies at a load that are more than a point apart in both worlds, and those of them that swap places."""
    n_pairs, swapped = 0, []
    for load in dict.fromkeys(entry["load"] for entry in entries):
        for one, other in combinations([entry for entry in entries if entry["load"] == load], 2):
            live, simulated = one["live"] - other["live"], one["simulated"] - other["simulated"]
            if min(abs(live), abs(simulated)) > 0.01:
                n_pairs += 1
                if live * simulated < 0.0:
                    swapped.append(f"{one['policy']} and {other['policy']} at {load:g}")
    return {"n_pairs": n_pairs, "swapped": swapped}


def show(entries: Sequence[dict[str, Any]]) -> None:
    """Print the table of the policies."""
    rows = [
        [
            f"{entry['load']:g}  {entry['policy']}",
            f"{entry['n_requests']}",
            f"{100 * entry['live']:.2f}",
            f"{100 * entry['simulated']:.2f}",
            f"{entry['points_apart']:+.2f}",
            f"{100 * entry['simulated_as_measured']:.2f}",
            f"{entry['measured_over_profiled']:.2f}",
            f"{entry['between_ms']:.2f}",
            f"{100 * entry['in_time_live']:.1f}",
            f"{100 * entry['in_time_simulated']:.1f}",
            f"{100 * entry['late_share']:.2f}",
            f"{100 * entry['late_by_2_ms_share']:.2f}",
            f"{entry['sent_late_p99_ms']:.2f}",
            f"{entry['cores_of_others']}",
        ]
        for entry in entries
    ]
    head = [
        "load  policy",
        "requests",
        "live %",
        "simulated %",
        "points",
        "as measured",
        "factor",
        "+ ms",
        "in time %",
        "simulated %",
    ]
    print_table([*head, "late %", "> 2 ms %", "sent late p99 ms", "others"], rows)


def show_beside(entries: Sequence[dict[str, Any]]) -> None:
    """Print the table of what is beside."""
    rows = [
        [
            f"{entry['load']:g}  {entry['beside']}{', strict' if entry['is_strict'] else ''}",
            f"{100 * entry['effective_accuracy']:.2f}",
            f"{100 * entry['in_time']:.2f}",
            f"{100 * entry['late_share']:.2f}",
            f"{100 * entry['late_by_2_ms_share']:.2f}",
            f"{entry['sent_late_p99_ms']:.2f}",
            f"{entry['wake_late_ms']:.2f}",
            f"{entry['cores_of_others']}",
        ]
        for entry in entries
    ]
    head = ["load  beside", "effective accuracy %", "in time %", "late %", "> 2 ms %", "sent late p99 ms"]
    print_table([*head, "woken late p99 ms", "others"], rows)


def bars(entries: Sequence[dict[str, Any]], order: dict[str, Any]) -> list[dict[str, Any]]:
    """What was to be shown, and whether it was."""
    ours = [entry for entry in entries if entry["policy"] == "cascade"]
    apart = max(abs(entry["points_apart"]) for entry in ours)
    far = max(abs(entry["points_apart"]) for entry in entries)
    late = max(entry["late_by_2_ms_share"] for entry in ours)
    return [
        {"bar": "cascade live and simulated, points at most", "found": apart, "met": apart <= BAR_POINTS},
        {"bar": "all policies live and simulated, points at most", "found": far, "met": far <= BAR_POINTS},
        {"bar": "pairs of policies that swap places", "found": len(order["swapped"]), "met": not order["swapped"]},
        {"bar": "cascade's answers late by more than 2 ms, % at most", "found": 100.0 * late, "met": late <= LATE_BAR},
    ]


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="few loads, for a moment each; writes nothing")
    return parser.parse_args()


def main() -> None:
    asked = options()
    data = data_folder(asked.data)
    if data is None:
        print("the folder of the benchmark data is not here (--data, or the variable CASCADE_DATA): nothing to serve")
        return
    found = ladder(data, QUICK_CELL_MS if asked.quick else CELL_MS, 0.0 if asked.quick else HEAT_MS)
    began = time.perf_counter()
    gc.collect()
    collection_ms = 1e3 * (time.perf_counter() - began)
    print(
        f"load 1 is {capacity_rps(found.service):.0f} requests a second; a full garbage collection takes {collection_ms:.0f} ms"
    )
    entries = cells(asked, found)
    show(entries)
    order = order_of(entries)
    print(
        f"\n{order['n_pairs']} pairs of policies a point apart; in another order live: {order['swapped'] or 'none'}\n"
    )
    beside = beside_others(asked, found)
    show_beside(beside)
    told = bars(entries, order)
    print()
    print_table(["bar", "found", "met"], [[b["bar"], f"{b['found']:.2f}", "yes" if b["met"] else "NO"] for b in told])
    if not asked.quick:
        mean_ms = np.round(found.service.mean_ms, 3).tolist()
        sizes = list(found.service.batch_sizes)
        write(
            "live",
            {
                "bars": told,
                "full_collection_ms": round(collection_ms, 1),
                "batch_sizes": sizes,
                "mean_ms": mean_ms,
                "cells": entries,
                "order": order,
                "beside": beside,
            },
            asked.out,
        )


if __name__ == "__main__":
    on_one_thread()
    main()
