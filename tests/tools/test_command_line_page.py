"""The page about the command line says what the parser says."""

from __future__ import annotations

from pathlib import Path

from cascade.cli.arguments import build_parser
from tools.command_line_page import PAGE, page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_the_one_that_the_parser_makes():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "run python -m tools.command_line_page"


def test_the_page_holds_every_command_with_its_examples():
    text = page()
    words = " ".join(text.split()).lower()
    for line in (build_parser().epilog or "").splitlines():
        assert " ".join(line.split()).lower() in words
    for heading in ("## cascade fit", "## cascade simulate", "## cascade completion"):
        assert heading in text


def test_what_is_required_and_what_may_be_chosen_is_said():
    text = page()
    assert "| `--policy JSON` | a saved policy; required |" in text
    assert "| `--risk {error,lost,drop,selective}` |" in text
    assert "| `{bash,zsh,tcsh}` |" in text
