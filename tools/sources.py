"""Read the package as text, the way the checks want it."""

from __future__ import annotations

from pathlib import Path


def read_package(root: Path) -> dict[str, str]:
    """Source text of every module below ``root``, by its dotted name; a package stands for its ``__init__``."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        sources[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return sources
