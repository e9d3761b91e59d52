"""The page about benchmarks, made of the files in ``benchmarks/results/`` whenever the site is built.

Every table names its script, its machine and its day. A file that no function here knows is shown by its single figures.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools import benchmark_comparisons as comparisons
from tools import benchmark_figures as figures
from tools.benchmark_figures import Found, Table

RESULTS = Path("benchmarks/results")
PARTS: Mapping[str, Mapping[str, Callable[[Found], list[Table]]]] = {
    "Accuracy": {
        "frontier": comparisons.frontier,
        "learning_curves": comparisons.learning_curves,
        "pooling": comparisons.pooling,
        "values": comparisons.values,
    },
    "Promises and confidence": {"risk": comparisons.risk, "reliability": comparisons.reliability},
    "Speed": {
        "overhead": figures.overhead,
        "first_predict": figures.first_predict,
        "batch": figures.batch,
        "cache": figures.cache,
        "telemetry": figures.telemetry,
        "fit_speed": figures.fit_speed,
        "imports": figures.imports,
        "page": figures.page,
    },
    "Load": {"serving": figures.serving, "soak": figures.soak, "simulator": figures.simulator},
}
_PACKAGES = ("python", "numpy", "numba", "scipy", "scikit-learn", "torch")
_MOST_SINGLE = 12
_ABOUT = """\
# Benchmarks

One script for each question, in `benchmarks/`; `make bench` runs them all, and `python benchmarks/NAME.py --help` says what the columns of a
script mean. Each writes a file into `benchmarks/results/`, and this page is made of these files: it says what was measured, with the bar that was set
beforehand where there was one, also where it was missed. Times are of a machine whose two cores others use too, so ratios within one run count
more than milliseconds.
"""


def page(root: Path) -> str:
    """The page as Markdown, from the results in a clone of the repository."""
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((root / RESULTS).glob("*.json"))
    }
    # A table of service times is what a script reads, no result.
    results = {name: found for name, found in results.items() if (root / "benchmarks" / f"{name}.py").is_file()}
    known = {name for part in PARTS.values() for name in part}
    parts = {**PARTS, "More": {name: single_figures for name in results if name not in known}}
    lines = [_ABOUT]
    for heading, makers in parts.items():
        sections = [section(root, name, results[name], make) for name, make in makers.items() if name in results]
        lines += [f"## {heading}\n", *sections] if sections else []
    return "\n".join(lines)


def section(root: Path, name: str, found: Found, make: Callable[[Found], list[Table]]) -> str:
    """One script: its question, its tables, and where and when they were measured."""
    script = root / "benchmarks" / f"{name}.py"
    question = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or name).split("\n\n")[0]
    tables = "\n\n".join(_markdown(table) for table in make(found))
    return f"### {' '.join(question.split())}\n\n{tables}\n\n{_stamped(name, found)}\n"


def single_figures(found: Found) -> list[Table]:
    """The first figures of a file, whatever they are, by the names that lead to them."""
    rows = [[name, str(value)] for name, value in _single(found) if not name.startswith("stamp")]
    return [Table(["figure", "value"], rows[:_MOST_SINGLE])]


def _single(found: Found, before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _single(value, f"{before}{name}, ")
        elif isinstance(value, str | float | int):
            yield f"{before}{name}", value


def _stamped(name: str, found: Found) -> str:
    stamp = found["stamp"]
    packages = ", ".join(f"{package} {stamp[package]}" for package in _PACKAGES if stamp.get(package))
    place = f"{stamp['processor']}, {stamp['n_cpus']} cores, {stamp['system']}"
    commit = stamp["commit"].replace("+", " with changes")
    return f"*`benchmarks/{name}.py`, {stamp['date']}, commit {commit}; {place}; {packages}.*"


def _markdown(table: Table) -> str:
    lines = [_row(table.header), "|" + "---|" * len(table.header), *(_row(row) for row in table.rows)]
    return "\n".join(lines) + (f"\n\n{table.below}" if table.below else "")


def _row(cells: object) -> str:
    assert isinstance(cells, list | tuple)
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
