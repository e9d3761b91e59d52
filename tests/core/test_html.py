"""Tables for notebooks: well formed, escaped, without styles of their own."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.core.html import paragraph, table


def test_a_table_holds_its_caption_its_header_and_its_rows(html_words):
    page = table(["stage", "ms"], [["small", 0.25], ["big", 12]], caption="Two stages")
    assert html_words(page) == ["Two stages", "stage", "ms", "small", "0.25", "big", "12"]


@pytest.mark.parametrize("foreign", ["<b>", "a & b", '"quoted"', "<script>alert(1)</script>"])
def test_what_comes_from_the_caller_is_shown_as_text(foreign, html_words):
    page = table([foreign], [[foreign]], caption=foreign) + paragraph(foreign)
    assert html_words(page) == [foreign] * 4
    assert "<script>" not in page


def test_a_table_without_a_header_names_its_rows():
    assert "<thead>" not in table([], [["risk", "drop"]])
    assert "<tr><th>risk</th><td>drop</td></tr>" in table([], [["risk", "drop"]])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234.5678, "1235"), (np.float64(0.000123456), "0.0001235"), (None, ""), (True, "True"), (7, "7")],
)
def test_a_cell_is_short(value, shown):
    assert f"<td>{shown}</td>" in table(["x"], [[value]])


def test_dollar_signs_are_no_formulas():
    assert 'class="tex2jax_ignore mathjax_ignore"' in table(["$"], [["$5 or $6"]])
    assert 'class="tex2jax_ignore mathjax_ignore"' in paragraph("$5 or $6")


def test_lines_stay_lines():
    assert "first<br>second" in paragraph("first\nsecond")
