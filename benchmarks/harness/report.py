"""What the scripts share at their edges: arguments, one thread, a printed table, a JSON file with a stamp."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "torch")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
DATA_VARIABLES = ("CASCADE_DATA", "CASCADE_SHARED_DATA")


def arguments(description: str | None) -> argparse.Namespace:
    """The options that every script takes, so that one set of them can be handed to all."""
    return parser_of(description).parse_args()


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every script takes, for scripts that take others besides."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of the benchmark data (default: the variable CASCADE_DATA, else shared/data beside the repository); "
        "scripts that make their own data take no notice",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON file")
    return parser


def data_folder(named: Path | None) -> Path | None:
    """The folder of the benchmark data, None where there is none; a folder that was named must be there."""
    named = named or next((Path(os.environ[name]) for name in DATA_VARIABLES if os.environ.get(name)), None)
    if named is not None:
        if not named.is_dir():
            raise SystemExit("the folder of the benchmark data that was named is not there")
        return named
    beside = ROOT.parent / "shared" / "data"
    return beside if beside.is_dir() else None


def on_one_thread() -> None:
    """Start this script again under one thread per library, unless it runs so already.

    The libraries read these variables once, when they are loaded; two-threaded linear algebra on busy cores is slower by
    orders of magnitude, and it is not what is measured.
    """
    if all(os.environ.get(name) == "1" for name in THREADS):
        return
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREADS, "1"))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as they need, the first one flush left."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def write(name: str, results: dict[str, Any], folder: Path) -> None:
    """Write ``folder/name.json``: the results, and where and when they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _json({"stamp": stamp(), **results})
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"\nwrote {name}.json")


def _json(value: Any, indent: str = "") -> str:
    """JSON in which what fits on a line stands on one, so that a changed figure is one changed line."""
    text = json.dumps(value)
    if len(indent) + len(text) <= 120 or not isinstance(value, dict | list):
        return text
    inner = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_json(entry, inner)}" for key, entry in value.items()]
    else:
        items = [_json(entry, inner) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{closing}"


def stamp() -> dict[str, Any]:
    """Machine, versions, commit and date; nothing that names a host or a folder."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "processor": _processor(),
        "n_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _commit() -> str | None:
    """The commit of the package that was measured, with a plus where its files differ from it; None without git."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "cascade"], cwd=ROOT, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + "+" * bool(changed)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
