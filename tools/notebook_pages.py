"""Notebooks as pages of the site: their words, their code, and what it put out when they were last run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOKS = Path("examples/notebooks")
# In the order in which one leads to the next.
ORDER = ("first_curve", "thresholds_with_a_guarantee", "load_test", "your_own_torch_models")


def page(path: Path) -> str:
    """One notebook as Markdown."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = [part for cell in notebook["cells"] for part in _cell(cell)]
    title, rest = parts[0].split("\n", 1)
    where = f"*Run by a test, from `{NOTEBOOKS}/{path.name}` in the repository: open it there to play with it.*"
    return "\n\n".join([title, where, rest.strip(), *parts[1:]]) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield _linked(source)
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output["data"]
    if "image/png" in data:
        image = "".join(data["image/png"]).strip().replace("\n", "")
        return f'<img alt="what the code above draws" src="data:image/png;base64,{image}">'
    if "text/html" in data:
        # The classes keep notebooks from typesetting formulas; here they would keep the site from dressing the table.
        return re.sub(r' class="[^"]*"', "", "".join(data["text/html"]))
    return _text("".join(data["text/plain"]))


def _text(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _linked(source: str) -> str:
    """Links between notebooks and into the documentation, as they lead from a page of the site."""
    return re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source).replace("](../../docs/", "](../")
