"""Does a predictor that is overloaded for minutes, with stages that fail, keep its memory, and does it account for every request?

Two perceptrons on scikit-learn's digits, each of which also waits for a fixed time per batch, as a model on a device would make it wait.
Requests come at twice the rate that the larger one could carry in batches of 32, in bursts, with three budgets, three priorities, a tenth
of them strict, some cancelled, some of inputs that are not finite; threads and coroutines ask besides, and every few seconds another
policy takes over. Stages raise, return NaN and take too long, one by one and in runs that open the circuit breaker.

The memory is what the process has resident; its course is read once a second. It is flat if after the warm-up, a fifth of the time
and at most a minute, every reading is within 5 MB of the one at its end. Every request is accounted for if each has ended exactly
once, and the predictor's own counts say the same as the clients'.
"""

from __future__ import annotations

import argparse
import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness.networks import digit_ladder
from harness.others import cores_of_others
from harness.report import on_one_thread, parser_of, print_table, write
from harness.soak_traffic import Tally, Traffic

from cascade.calibration.fit import fit_policy
from cascade.clock import MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.predictor import Predictor
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage
from cascade.telemetry.counters import Stats
from cascade.testing.faults import FailingStage, NanStage, SlowStage

MINUTES, BAR_MB = 10.0, 5.0
WAITS_MS = {"small": 6.0, "large": 30.0}
"""Per batch, whatever its size."""
OVERLOAD, MAX_BATCH = 2.0, 32
SWAP_S, READ_S, SHOWN = 7.0, 1.0, 20
WARM_UP_SHARE, LONGEST_WARM_UP_S = 0.2, 60.0
SPIKE_MS = 25.0
COUNTED = ("rejected", "expired", "shed", "failed")


class Runs:
    """Calls that lie in a run of ``n`` at the end of every ``period``; a collection, as far as the faults look into one."""

    def __init__(self, n: int, period: int) -> None:
        self._n, self._period = n, period

    def __contains__(self, call: object) -> bool:
        return isinstance(call, int) and call % self._period >= self._period - self._n


def with_faults(stage: Any, seed: int) -> Any:
    """The stage, that raises at about 1 % of its calls, returns NaN at 0.5 %, dawdles at 1 %, and fails five times in a row now and then."""
    clock = MonotonicClock()
    slow = SlowStage(stage, SPIKE_MS, clock, Runs(1, 101 + seed))
    nan = NanStage(slow, Runs(1, 199 + seed))
    return FailingStage(FailingStage(nan, Runs(1, 97 + seed)), Runs(5, 1499 + seed))


def prepared() -> tuple[Predictor, list[Policy], np.ndarray, float]:
    """A predictor over faulty stages, policies to swap, rows to ask about, and requests per second that the larger one carries."""
    ladder = digit_ladder()
    networks = {"small": ladder.small, "large": ladder.large}
    stages = [
        SlowStage(Stage(network, name=name), WAITS_MS[name], MonotonicClock()) for name, network in networks.items()
    ]
    service = profile(stages, ladder.fit_rows[0], progress=False)
    outcomes = Outcomes.record(
        [Stage(network, name=name) for name, network in networks.items()], *ladder.fit_rows, progress=False
    )
    policies = [fit_policy(outcomes, service, max_accuracy_drop=0.0), Policy.from_thresholds([0.9], service)]
    policies.append(fit_policy(outcomes, service, max_accuracy_drop=0.02))
    faulty = [with_faults(stage, seed) for seed, stage in enumerate(stages)]
    rows = ladder.served_rows[0]
    predictor = Predictor(faulty, policies[0], service, sample=rows[:64], max_batch=MAX_BATCH)
    return predictor, policies, rows, 1e3 * MAX_BATCH / service.mean_at(1, MAX_BATCH)


def resident_mb() -> float:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def course(predictor: Predictor, policies: list[Policy], traffic: Traffic, seconds: float) -> list[tuple[float, float]]:
    """Seconds since the start and megabytes, once a second, while traffic runs and policies are swapped."""
    began, read, n_swaps = time.perf_counter(), [], 0
    traffic.start()
    every_s, next_shown_s = seconds / SHOWN, 0.0
    print("second  resident MB  threads  requests  waiting")
    while (passed := time.perf_counter() - began) < seconds:
        time.sleep(READ_S)  # noqa: TID251 - wall clock is what this is about
        traffic.check()
        if passed > SWAP_S * (n_swaps + 1):
            n_swaps += 1
            predictor.swap_policy(policies[n_swaps % len(policies)])
        read.append((time.perf_counter() - began, resident_mb()))
        if passed >= next_shown_s:
            next_shown_s += every_s
            waiting = predictor.stats().n_waiting
            n_sent = traffic.tally.n_sent
            print(
                f"{read[-1][0]:6.0f}  {read[-1][1]:11.1f}  {threading.active_count():7}  {n_sent:8}  {waiting:7}",
                flush=True,
            )
    traffic.stop()
    return read


def flatness(read: list[tuple[float, float]]) -> dict[str, Any]:
    """How far memory went from where it was at the end of the warm-up, and its slope since."""
    seconds, mb = np.array(read).T
    warm_s = min(WARM_UP_SHARE * seconds[-1], LONGEST_WARM_UP_S)
    after = seconds >= warm_s
    slope = float(np.polyfit(seconds[after] / 60.0, mb[after], 1)[0])
    off = mb[after] - mb[after][0]
    return {
        "warm_up_s": round(float(warm_s), 1),
        "at_warm_up_mb": round(float(mb[after][0]), 1),
        "least_mb": round(float(off.min()), 2),
        "most_mb": round(float(off.max()), 2),
        "slope_mb_per_minute": round(slope, 3),
        "is_flat": bool(np.abs(off).max() <= BAR_MB),
    }


def account(tally: Tally, stats: Stats) -> dict[str, Any]:
    """Whether everything has ended exactly once, and the predictor's counts are the clients'.

    A coroutine that loses its patience while its outcome is on its way has cancelled, and has an outcome to the predictor.
    """
    names = {"answered": stats.n_requests} | {name: getattr(stats, f"n_{name}") for name in COUNTED}
    crossed = {name: n - tally.endings[name] for name, n in names.items()}
    n_crossed = sum(crossed.values())
    counted = {**names, "cancelled": stats.n_cancelled}
    same = (
        min(crossed.values()) >= 0 and tally.endings["cancelled"] - stats.n_cancelled == n_crossed <= tally.n_impatient
    )
    return {
        "n_sent": tally.n_sent,
        "n_bad_inputs": tally.n_bad,
        "seen": dict(tally.endings),
        "counted": counted,
        "n_crossed": n_crossed,
        "each_ended_once": tally.is_whole() and sum(tally.endings.values()) + tally.n_bad == tally.n_sent,
        "counts_agree": same,
    }


def report(memory: dict[str, Any], requests: dict[str, Any], stats: Stats) -> None:
    """Print what was found."""
    print()
    print_table(
        ["ended", "clients", "predictor"],
        [[name, f"{requests['seen'].get(name, 0)}", f"{n}"] for name, n in requests["counted"].items()],
    )
    print(f"\nfaults of stages: {dict(stats.n_faults)}; answered by: {dict(stats.n_by_status)}")
    print(
        f"in time: {100 * stats.slo_attainment:.2f} % of all; strict and late: {100 * stats.strict_miss_rate:.2f} % of the answers"
    )
    print(
        f"memory after {memory['warm_up_s']:.0f} s: {memory['at_warm_up_mb']:.1f} MB, then {memory['least_mb']:+.1f} to "
        f"{memory['most_mb']:+.1f} MB, {memory['slope_mb_per_minute']:+.2f} MB a minute"
    )
    print()
    bars = {
        f"memory within {BAR_MB:g} MB": memory["is_flat"],
        "each request ended exactly once": requests["each_ended_once"],
        "the predictor counted the same": requests["counts_agree"],
    }
    print_table(["bar", "met"], [[bar, "yes" if met else "NO"] for bar, met in bars.items()])


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"how long (default: {MINUTES:g})")
    return parser.parse_args()


def main() -> None:
    asked = options()
    predictor, policies, rows, carried_rps = prepared()
    rate_rps, seconds = OVERLOAD * carried_rps, 60.0 * asked.minutes
    tally = Tally(int((rate_rps + 4000.0) * (seconds + 30.0)))
    print(f"{rate_rps:.0f} requests a second for {asked.minutes:g} minutes")
    gc.collect()
    others = cores_of_others()
    read = course(predictor, policies, Traffic(predictor, rows, rate_rps, tally), seconds)
    print(f"\ncores that other processes kept busy meanwhile: {(n_others := others())}")
    predictor.close()
    stats, memory = predictor.stats(), flatness(read)
    requests = account(tally, stats)
    report(memory, requests, stats)
    shown = [[round(s), round(mb, 1)] for s, mb in read[:: max(len(read) // 60, 1)]]
    found = {
        "minutes": asked.minutes,
        "rate_rps": round(rate_rps),
        "cores_of_others": n_others,
        "memory": memory,
        "requests": requests,
        "faults": dict(stats.n_faults),
        "slo_attainment": round(stats.slo_attainment, 4),
        "strict_late_share": round(stats.strict_miss_rate, 5),
        "resident_mb": shown,
    }
    if asked.minutes >= MINUTES:
        write("soak", found, asked.out)


if __name__ == "__main__":
    on_one_thread()
    main()
