"""The Python blocks of the README and of the pages run as typed, and print what the text after them quotes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
PAGES = [
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md")))
    if BLOCK.search(path.read_text(encoding="utf-8"))
]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(autouse=True)
def _usual_switch_interval():
    interval_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_run_as_typed(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    namespace: dict[str, object] = {"__name__": "typed"}
    n_printed = 0
    for block, quoted in blocks:
        exec(compile(block, page, "exec"), namespace)
        printed = capsys.readouterr().out
        n_printed += bool(printed.strip())
        if quoted:
            assert words_of(printed) == words_of(quoted)
            # Of virtual time and seeds, but compiled for another machine: a rounded figure may end on the other side.
            assert figures_of(printed) == pytest.approx(figures_of(quoted), rel=0.1, abs=1.0)
    assert n_printed


def words_of(text):
    return NUMBER.sub("n", text).split()


def figures_of(text):
    return [float(number) for number in NUMBER.findall(text)]
