"""Where a table of service times was measured, and whether that is here.

May ask the machine and the installed packages about themselves; imports none of them.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cascade.core.service import Stamp
from cascade.profiling.timed_stage import Threads, TimedStage, limited_threads

_PACKAGES = ("numpy", "torch", "scikit-learn")
_WORDS = {
    "machine": "the machine type",
    "system": "the operating system",
    "processor": "the processor",
    "n_cpus": "the number of usable CPUs",
    "python": "the version of python",
    **{package: f"the version of {package}" for package in _PACKAGES},
}
_WORDS_PER_STAGE = {"device": "the device", "threads": "the number of threads"}


def current_stamp(stages: Sequence[TimedStage], threads: Threads) -> dict[str, str | int | float]:
    """What a profile of these stages, made here and now, would be stamped with.

    Parameters
    ----------
    stages : sequence of stages
    threads : int or "leave"
        Threads per run, as given to `profile`.

    Returns
    -------
    dict
        ``machine``, ``system``, ``processor``, ``n_cpus``, ``node`` (a hash of the host's name), ``python`` and the
        versions of the numerical packages that are installed; ``device:NAME`` and ``threads:NAME`` per stage.
    """
    with limited_threads(stages, threads):
        n_threads = {f"threads:{stage.name}": stage.threads() for stage in stages}
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "n_cpus": _n_usable_cpus(),
        "node": hashlib.sha256(platform.node().encode()).hexdigest()[:12],
        "python": platform.python_version(),
        **dict(_installed()),
        **{f"device:{stage.name}": stage.device for stage in stages},
        **n_threads,
    }


def stamp_mismatch(stamp: Stamp, here: Stamp) -> list[str]:
    """What makes times measured under one stamp doubtful under another, in words.

    Parameters
    ----------
    stamp : mapping
        Of the table.
    here : mapping
        From `current_stamp`.

    Returns
    -------
    list of str
        One entry per difference in machine, device, versions or threads; empty if there is none. The hash of the host's
        name is not compared: containers change it at every start, on the same machine.

    Examples
    --------
    >>> stamp_mismatch({"n_cpus": 8, "device:big": "cuda:0"}, {"n_cpus": 2, "device:big": "cpu"})
    ['the number of usable CPUs was 8, here it is 2', "the device of stage 'big' was cuda:0, here it is cpu"]
    """
    keys = dict.fromkeys([*stamp, *here])
    return [
        f"{words} was {stamp.get(key, 'none')}, here it is {here.get(key, 'none')}"
        for key in keys
        if (words := _in_words(key)) and stamp.get(key) != here.get(key)
    ]


def _in_words(key: str) -> str | None:
    """What a key of a stamp stands for; None if it has no bearing on time."""
    kind, _, stage = key.partition(":")
    if stage and kind in _WORDS_PER_STAGE:
        return f"{_WORDS_PER_STAGE[kind]} of stage {stage!r}"
    return _WORDS.get(key)


def _installed() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _processor() -> str:
    """The processor's model name; `platform.processor` alone is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _n_usable_cpus() -> int:
    """CPUs this process may use, which in containers are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
