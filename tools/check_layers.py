"""Check that imports inside the package run only as the table of layers says.

Reads every import there is: at the top of a file, inside functions, under ``TYPE_CHECKING``, and
``import_module`` with a literal name. Works on source text alone and imports nothing of the package.
Run it with ``python -m tools.check_layers``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tools.sources import read_package

PACKAGE = "cascade"
FACE = "__init__"

_GROUND = frozenset({"core", "errors"})
_TIMED = _GROUND | {"clock"}
_PARTS = frozenset({"stages", "calibration", "profiling", "caching", "telemetry", "scheduling"})
_TOOLKIT = _TIMED | _PARTS
_ALL = _TOOLKIT | {"simulation", "runtime", "ladder", "explore", "testing", "predictor"}

# What each part of the package may import besides itself. An entry with a dot admits that one module only.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "clock": frozenset({"errors"}),
    "core": frozenset({"errors"}),
    "stages": _TIMED,
    "calibration": _GROUND,
    "profiling": _TIMED,
    "caching": _TIMED,
    "telemetry": _TIMED,
    "scheduling": _GROUND,
    "simulation": _TIMED | {"scheduling", "telemetry"},
    "runtime": _TIMED | {"scheduling", "caching", "telemetry", "stages.base"},
    "ladder": _TOOLKIT,
    "explore": _TOOLKIT | {"simulation"},
    "testing": _TOOLKIT,
    "predictor": _TOOLKIT | {"simulation", "runtime", "testing"},
    "integrations": _ALL,
    "cli": _ALL | {"integrations"},
    "__main__": _ALL | {"integrations", "cli"},
    FACE: _ALL | {"integrations", "cli"},
}

# Which parts may import a heavy dependency. The command line trains the models of its demo.
HOMES_OF: Mapping[str, frozenset[str]] = {
    "torch": frozenset({"stages", "ladder", "cli"}),
    "sklearn": frozenset({"stages", "calibration", "ladder", "integrations", "cli"}),
    "matplotlib": frozenset({"explore"}),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target, and the line it stands on."""

    target: str
    line: int
    relative: bool = False
    binds_face: bool = False


def check(sources: Mapping[str, str]) -> list[str]:
    """Every breach of the layers in a package given as ``{dotted module name: source text}``.

    Returns
    -------
    list of str
        One sentence per breach, with the module and the line; empty if there is none.
    """
    breaches = []
    graph: dict[str, set[str]] = {}
    for module, text in sources.items():
        imports = list(_imports(ast.parse(text), sources))
        breaches += [f"{module}:{found.line}: {why}" for found in imports if (why := _breach(module, found))]
        graph[module] = {found.target for found in imports if found.target in sources}
    return breaches + _cycles(graph)


def part_of(module: str) -> str:
    """The part of the package, one row of the table, that a dotted module name belongs to."""
    return module.split(".")[1] if "." in module else FACE


def _imports(tree: ast.AST, known: Mapping[str, str]) -> Iterator[Import]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    binds_face = alias.asname is None and alias.name.startswith(f"{PACKAGE}.")
                    yield Import(alias.name, node.lineno, binds_face=binds_face)
            case ast.ImportFrom(level=level, module=base) if level:
                yield Import(base or "", node.lineno, relative=True)
            case ast.ImportFrom(module=str(base), names=names):
                for alias in names:
                    deeper = f"{base}.{alias.name}"
                    yield Import(deeper if deeper in known else base, node.lineno, binds_face=base == PACKAGE)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if _imports_by_name(func):
                yield Import(name, node.lineno)


def _imports_by_name(func: ast.expr) -> bool:
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return name in {"import_module", "__import__"}


def _breach(module: str, found: Import) -> str | None:
    """Why this import is not allowed in this module; None if it is."""
    part = part_of(module)
    if part not in MAY_IMPORT:
        return f"{part!r} is no part of the package that the table of layers knows: add a row, or move the module"
    if found.relative:
        return "relative import: write the full name of the module that defines the name"
    top = found.target.split(".")[0]
    if part not in HOMES_OF.get(top, {part}):
        return f"{part} must not import {top}, only {', '.join(sorted(HOMES_OF[top]))} may"
    if top != PACKAGE:
        return None
    if found.target == PACKAGE or found.binds_face:
        return "imports the public face of the package: import from the module that defines the name"
    return _arrow_breach(part, found.target)


def _arrow_breach(part: str, target: str) -> str | None:
    other = part_of(target)
    allowed = MAY_IMPORT[part]
    if other == part or other in allowed:
        return None
    single = [name for name in allowed if name.startswith(f"{other}.")]
    if any(f"{target}.".startswith(f"{PACKAGE}.{name}.") for name in single):
        return None
    hint = f", except {', '.join(single)}" if single else ""
    return f"{part} must not import {other}{hint} (here {target})"


def _cycles(graph: Mapping[str, set[str]]) -> list[str]:
    """The first import cycle between modules, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"import cycle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def main() -> int:
    """Print every breach; the exit status is 1 if there is one."""
    sources = read_package(Path(PACKAGE))
    breaches = check(sources)
    print("\n".join(breaches) if breaches else f"layers: {len(sources)} modules, every import runs downwards")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
