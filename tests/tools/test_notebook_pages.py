"""Notebooks become pages: words, code, outputs, and links that lead somewhere on the site."""

from __future__ import annotations

import json
from pathlib import Path

from tools.notebook_pages import NOTEBOOKS, ORDER, page
from tools.site_hooks import generated

ROOT = Path(__file__).resolve().parents[2]


def notebook(tmp_path, *cells):
    path = tmp_path / "made.ipynb"
    title = {
        "cell_type": "markdown",
        "source": ["# Made\n", "\n", "To [curve](first_curve.ipynb), [maths](../../docs/decision-maths.md)."],
    }
    path.write_text(json.dumps({"cells": [title, *cells]}), encoding="utf-8")
    return page(path)


def code(source, **output):
    return {"cell_type": "code", "source": source, "outputs": [output]}


def test_the_title_comes_first_and_links_lead_to_pages(tmp_path):
    text = notebook(tmp_path)
    assert text.startswith("# Made\n\n*Run by a test, from `examples/notebooks/made.ipynb`")
    assert "To [curve](first_curve.md), [maths](../decision-maths.md)." in text


def test_code_and_what_it_printed_stand_one_below_the_other(tmp_path):
    text = notebook(tmp_path, code("print(1)", output_type="stream", name="stdout", text="1\n"))
    assert text.endswith("```python\nprint(1)\n```\n\n```text\n1\n```\n")


def test_pictures_and_tables_are_shown_and_plain_values_as_text(tmp_path):
    picture = code("draw()", output_type="display_data", data={"image/png": "iVBO\n", "text/plain": "<Figure>"})
    table = code(
        "x", output_type="execute_result", data={"text/html": '<table class="a b"><tr></tr></table>', "text/plain": "x"}
    )
    plain = code("2", output_type="execute_result", data={"text/plain": "2"})
    text = notebook(tmp_path, picture, table, plain)
    assert 'src="data:image/png;base64,iVBO">' in text
    assert "<table><tr></tr></table>" in text
    assert "```text\n2\n```" in text


def test_every_notebook_is_a_page_and_in_the_navigation():
    assert {path.stem for path in (ROOT / NOTEBOOKS).glob("*.ipynb")} == set(ORDER)
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for place, text in generated(ROOT).items():
        assert f": {place}\n" in navigation
        assert text.startswith("# ")
