"""Check that no file and no function of the package grows too long to be read in one go.

Works on source text alone. Run it with ``python -m tools.check_sizes``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.sources import read_package

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50


def check(sources: Mapping[str, str]) -> list[str]:
    """Every file and function over its limit, in a package given as ``{dotted module name: source text}``.

    A function is counted from its ``def`` to its last line, without its docstring.

    Returns
    -------
    list of str
        One sentence per breach, with the module and the line; empty if there is none.
    """
    breaches = []
    for module, text in sources.items():
        n_lines = len(text.splitlines())
        if n_lines > MAX_FILE_LINES:
            breaches.append(f"{module}: {n_lines} lines, more than {MAX_FILE_LINES}: split it by subject")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            n_lines = _function_lines(node)
            if n_lines > MAX_FUNCTION_LINES:
                where = f"{module}:{node.lineno}: {node.name}"
                breaches.append(f"{where} has {n_lines} lines, more than {MAX_FUNCTION_LINES}: split it")
    return breaches


def _function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    last = node.end_lineno or node.lineno
    match node.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as doc:
            return last - node.lineno + 1 - ((doc.end_lineno or doc.lineno) - doc.lineno + 1)
        case _:
            return last - node.lineno + 1


def main() -> int:
    """Print every breach; the exit status is 1 if there is one."""
    sources = read_package(Path("cascade"))
    breaches = check(sources)
    print("\n".join(breaches) if breaches else f"sizes: {len(sources)} modules within limits")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
