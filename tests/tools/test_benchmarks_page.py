"""The page about benchmarks shows every result, with its script and where it was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.benchmark_figures import over, within
from tools.benchmarks_page import PARTS, RESULTS, page, section, single_figures

ROOT = Path(__file__).resolve().parents[2]
MEASURED = [
    path for path in sorted((ROOT / RESULTS).glob("*.json")) if (ROOT / "benchmarks" / f"{path.stem}.py").is_file()
]
STAMP = {"date": "2026-01-02", "commit": "abc+", "processor": "x", "n_cpus": 2, "system": "Linux", "python": "3.11"}


@pytest.fixture(scope="module")
def text():
    return page(ROOT)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_every_result_has_a_section_that_names_script_commit_and_day(path, text):
    stamp = json.loads(path.read_text(encoding="utf-8"))["stamp"]
    assert f"*`benchmarks/{path.stem}.py`, {stamp['date']}, commit {stamp['commit'].rstrip('+')}" in text


@pytest.mark.parametrize("name", [name for makers in PARTS.values() for name in makers])
def test_what_the_page_knows_was_measured(name):
    assert name in {path.stem for path in MEASURED}


def test_the_figures_are_those_of_the_files(text):
    overhead = json.loads((ROOT / RESULTS / "overhead.json").read_text(encoding="utf-8"))
    beyond_us = overhead["calls"]["difference"]["beyond the stages' own calls"]["all rows"]["p50_us"]
    assert f"| beyond the stages' own calls | all rows | {within(beyond_us, 10.0, 'µs')} |" in text
    serving = json.loads((ROOT / RESULTS / "serving.json").read_text(encoding="utf-8"))["summary"]["all rules"]
    assert f"| all rules | {serving['cells']} | {serving['ahead']} | {serving['level']} | {serving['behind']} |" in text


def test_tables_are_whole(text):
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") - row.count("\\|") for row in rows}) <= 1, block
        assert len(rows) <= 32, "a page is no dump: show less of it"


def test_a_bar_that_was_missed_says_so():
    assert within(1.0, 2.0, "ms") == "1 ms, at most 2"
    assert within(3.0, 2.0, "ms") == "3 ms, at most 2: **missed**"
    assert over(50_000.0, 50_000.0, "a second") == "50,000 a second, at least 50,000"
    assert over(1.5, 2.0, "times") == "1.5 times, at least 2: **missed**"


def test_a_result_that_no_function_knows_is_shown_by_its_first_figures(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "new.py").write_text('"""How new\n is it?\n\nMore."""', encoding="utf-8")
    found = {"stamp": STAMP, "bar_ms": 2.0, "cases": {"small": {"ms": 1.5}}, "series": [1, 2, 3]}
    made = section(tmp_path, "new", found, single_figures)
    assert made.startswith("### How new is it?\n")
    assert "| bar_ms | 2.0 |\n| cases, small, ms | 1.5 |\n" in made
    assert made.endswith(
        "*`benchmarks/new.py`, 2026-01-02, commit abc with changes; x, 2 cores, Linux; python 3.11.*\n"
    )
