"""The Python blocks of the README and of the pages run as typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/how-to-frontier.md",
        "docs/how-to-simulate.md",
        "docs/how-to-sklearn.md",
        "docs/risk-control.md",
    ],
)
def test_code_blocks_run_as_typed(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {"__name__": "typed"}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    assert "answer" in capsys.readouterr().out
