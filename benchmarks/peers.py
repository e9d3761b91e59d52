"""What does queueing cost for one tiny model, beside other queues that batch and a queue written by hand?

A perceptron in numpy, some tens of microseconds a row; nobody else uses the process. Clients ask in a closed loop, as threads or as
coroutines of one event loop: one alone, or 32 at once. Everyone gives a label and a confidence for each row, in batches of up to 32.
All contenders of a condition take turns, a fraction of a second each, in an order that rotates; a figure is the median over the
rounds, a ratio the median of the ratios within a round.

direct           every client calls the model itself; no batches, no queue
predict          cascade on the client's thread while the lane is free, else through the lane, in one batch with others
submit, strict   cascade through the lane always
apredict         cascade from coroutines
by hand          a thread, a queue and futures; takes what waits, and never waits for company
batched, async-batcher
                 with the wait for a batch to fill that they come with, and without any; async-batcher with the model on the
                 event loop, and on an executor's thread

Cascade's requests have deadlines, the others' have none.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from harness.clients import Took, asked_by_coroutines, asked_by_threads
from harness.others import cores_of_others
from harness.report import on_one_thread, parser_of, print_table, write

DIRECT_BAR_US, LANE_BAR_US = 10.0, 40.0
N_CLIENTS = 32
GO_MS, N_ROUNDS, QUICK_MS, N_QUICK_ROUNDS = 400.0, 15, 150.0, 3
N_CHECKED = 64
PEERS = {"batched": "batched", "async-batcher": "async_batcher"}
"""Module of each package."""


def conditions() -> dict[str, dict[str, Any]]:
    """The contenders of every condition, by name; the first one is what the others are compared with."""
    from harness import peer_queues as queues

    thread_queues = {
        "by hand": queues.by_hand,
        "batched": queues.batched_threads(5.0),
        "batched, no wait": queues.batched_threads(0.0),
    }
    loop_queues = {
        "by hand": queues.awaited_by_hand,
        "async-batcher": queues.async_batcher_of(queues.OnLoop, 10.0),
        "async-batcher, no wait": queues.async_batcher_of(queues.OnLoop, 0.0),
        "async-batcher, executor": queues.async_batcher_of(queues.InExecutor, 10.0),
        "async-batcher, executor, no wait": queues.async_batcher_of(queues.InExecutor, 0.0),
        "batched": queues.batched_coroutines(5.0),
        "batched, no wait": queues.batched_coroutines(0.0),
    }
    cascade = {"predict": queues.predicted, "submit": queues.submitted, "strict": queues.strict}
    return {
        "1 thread": {"direct": queues.direct, **cascade, **thread_queues},
        "1 coroutine": {"apredict": queues.awaited, **loop_queues},
        f"{N_CLIENTS} threads": {**cascade, "direct": queues.direct, **thread_queues},
        f"{N_CLIENTS} coroutines": {"apredict": queues.awaited, **loop_queues},
    }


def one_go(opened: Any, asked: Any, *, n_clients: int, on_loop: bool, for_ms: float) -> Took:
    """One contender, opened afresh, checked and warmed up by it."""
    expected = [asked.model.alone(asked.model.row(i)) for i in range(N_CHECKED)]

    async def awaited() -> Took:
        async with opened(asked) as ask:
            check(await asyncio.gather(*[ask(i) for i in range(N_CHECKED)]), expected)
            return await asked_by_coroutines(ask, n_clients, for_ms)

    if on_loop:
        return asyncio.run(awaited())
    with opened(asked) as ask:
        check([ask(i) for i in range(N_CHECKED)], expected)
        return asked_by_threads(ask, n_clients, for_ms)


def check(answers: Sequence[tuple[int, float]], expected: Sequence[tuple[int, float]]) -> None:
    """Everybody answers the same."""
    for (label, confidence), (right_label, right_confidence) in zip(answers, expected, strict=True):
        if label != right_label or abs(confidence - right_confidence) > 1e-4:
            raise SystemExit(f"expected the answer {right_label, right_confidence}, got {label, confidence}")


def measure(asked: Any, for_ms: float, n_rounds: int) -> dict[str, dict[str, list[Took]]]:
    """Every contender of every condition, once a round."""
    found: dict[str, dict[str, list[Took]]] = {}
    for condition, contenders in conditions().items():
        names = list(contenders)
        took = found[condition] = {name: [] for name in names}
        n_clients, on_loop = int(condition.split()[0]), "coroutine" in condition
        others = cores_of_others()
        for k in range(n_rounds):
            for name in names[k % len(names) :] + names[: k % len(names)]:
                go = one_go(contenders[name], asked, n_clients=n_clients, on_loop=on_loop, for_ms=for_ms)
                took[name].append(go)
        show(condition, took)
        print(f"cores that other processes kept busy meanwhile: {others()}")
    return found


def figures(took: Sequence[Took], first: Sequence[Took]) -> dict[str, float]:
    """Medians of one contender, and against the first one of its condition, paired by round."""
    rows, others = (np.array([[*asdict(go).values()] for go in goes]) for goes in (took, first))
    rate, p50, p99 = np.median(rows, axis=0)
    return {
        "requests_per_second": round(float(rate)),
        "p50_us": round(float(p50), 1),
        "p99_us": round(float(p99), 1),
        "rate_ratio": round(float(np.median(others[:, 0] / rows[:, 0])), 3),
        "p99_ratio": round(float(np.median(others[:, 2] / rows[:, 2])), 3),
        "added_p50_us": round(float(np.median(rows[:, 1] - others[:, 1])), 1),
    }


def show(condition: str, took: dict[str, list[Took]]) -> None:
    """Print the table of one condition."""
    first = next(iter(took))
    print(f"\n{condition}; ratios are {first} over the contender of the row")
    rows = []
    for name, goes in took.items():
        entry = figures(goes, took[first])
        rows.append(
            [
                name,
                f"{entry['requests_per_second']}",
                f"{entry['p50_us']:.1f}",
                f"{entry['p99_us']:.1f}",
                f"{entry['added_p50_us']:+.1f}",
                f"{entry['rate_ratio']:.2f}",
                f"{entry['p99_ratio']:.2f}",
            ]
        )
    print_table(["", "requests/s", "p50 us", "p99 us", "p50 added", "rate ratio", "p99 ratio"], rows)


def bars(found: dict[str, dict[str, list[Took]]]) -> list[dict[str, Any]]:
    """What was to be shown, and whether it was."""
    lone, told = found["1 thread"], []
    for name, bar in (("predict", DIRECT_BAR_US), ("submit", LANE_BAR_US), ("strict", LANE_BAR_US)):
        added = figures(lone[name], lone["direct"])["added_p50_us"]
        told.append({"bar": f"{name} adds to a direct call, us", "found": added, "at_most": bar, "met": added <= bar})
    for condition, ours, peer in (("threads", "predict", "batched"), ("coroutines", "apredict", "async-batcher")):
        took = found[f"{N_CLIENTS} {condition}"]
        for name in [name for name in took if name.startswith(peer)]:
            entry, what = figures(took[name], took[ours]), f"{N_CLIENTS} {condition}, {ours} over {name}"
            rate, p99 = entry["rate_ratio"], entry["p99_ratio"]
            told.append({"bar": f"{what}: requests/s", "found": rate, "at_least": 1.0, "met": rate >= 1.0})
            told.append({"bar": f"{what}: p99", "found": p99, "at_most": 1.0, "met": p99 <= 1.0})
    return told


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds; writes nothing")
    return parser.parse_args()


def main() -> None:
    asked_for = options()
    missing = [package for package, module in PEERS.items() if find_spec(module) is None]
    if missing:
        print(
            f"{' and '.join(missing)} are not installed, beside which cascade is measured: pip install {' '.join(PEERS)}"
        )
        return
    from harness.peer_queues import Asked

    asked = Asked.here()
    for_ms, n_rounds = (QUICK_MS, N_QUICK_ROUNDS) if asked_for.quick else (GO_MS, N_ROUNDS)
    found = measure(asked, for_ms, n_rounds)
    told = bars(found)
    print()
    print_table(
        ["bar", "found", "to be", "met"],
        [
            [
                entry["bar"],
                f"{entry['found']:.2f}",
                f"<= {entry['at_most']:g}" if "at_most" in entry else f">= {entry['at_least']:g}",
                "yes" if entry["met"] else "NO",
            ]
            for entry in told
        ],
    )
    if not asked_for.quick:
        versions = {package: version(package) for package in PEERS}
        conditions_found = {
            condition: {name: figures(goes, next(iter(took.values()))) for name, goes in took.items()}
            for condition, took in found.items()
        }
        write("peers", {"versions": versions, "bars": told, "conditions": conditions_found}, asked_for.out)


if __name__ == "__main__":
    on_one_thread()
    main()
