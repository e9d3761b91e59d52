"""How much other processes did meanwhile: what is measured on a clock means little where they did much."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_STAT = Path("/proc/stat")


def cores_of_others() -> Callable[[], float | None]:
    """Call it when a measurement begins; what it returns says how many cores others have kept busy since, on average.

    None where the system does not say.
    """
    began_s, machine_s, own_s = time.perf_counter(), _machine_s(), time.process_time()

    def since() -> float | None:
        now_s, passed_s = _machine_s(), time.perf_counter() - began_s
        if machine_s is None or now_s is None or passed_s <= 0.0:
            return None
        return round(max(now_s - machine_s - (time.process_time() - own_s), 0.0) / passed_s, 2)

    return since


def _machine_s() -> float | None:
    """Seconds that all cores together have been busy, or wanted to be while the host ran something else."""
    if not _STAT.exists():
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; what comes after is counted in the first two.
    ticks = [int(part) for part in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
