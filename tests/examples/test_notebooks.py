"""The notebooks run as they stand, and what is kept of their outputs is small and tidy."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import pytest

from tools.run_notebooks import executed, tidied

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples" / "notebooks").glob("*.ipynb"))
# With the pictures, whose bytes are written as text.
MOST_BYTES = 250_000


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_there_is_a_notebook_for_each_first_question():
    assert {path.stem for path in NOTEBOOKS} == {
        "first_curve",
        "thresholds_with_a_guarantee",
        "load_test",
        "your_own_torch_models",
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_it_stands_and_says_what_its_outputs_show(path, tmp_path):
    kept = nbformat.read(path, as_version=4)
    fresh = executed(path, tmp_path)
    # Errors and warnings go to stderr; so do progress bars, which are left out.
    assert not [output.text for output in outputs_of(fresh) if output.get("name") == "stderr"]
    kinds = [output.output_type for output in outputs_of(fresh)]
    assert kinds == [output.output_type for output in outputs_of(kept)], "run python -m tools.run_notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_of_a_notebook_is_small_and_of_one_run(path):
    assert path.stat().st_size <= MOST_BYTES
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert tidied(copy.deepcopy(kept)) == kept
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run python -m tools.run_notebooks"
    assert not [
        output for output in outputs_of(kept) if output.output_type == "error" or output.get("name") == "stderr"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_to_files(path):
    words = " ".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    linked = [part.split(")")[0] for part in words.split("](")[1:]]
    assert linked
    assert not [place for place in linked if not (path.parent / place).is_file()]


def test_progress_bars_are_left_out_and_pieces_of_one_print_are_joined():
    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python", "version": "3.11.7"}})
    streams = [("stdout", "a\n"), ("stderr", "\rfit: 0%"), ("stdout", "b\n"), ("stderr", "warning\n")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in streams]
    notebook.cells.append(nbformat.v4.new_code_cell("1", outputs=outputs, metadata={"execution": {"iopub": "now"}}))
    tidied(notebook)
    (cell,) = notebook.cells
    assert [(output.name, output.text) for output in cell.outputs] == [("stdout", "a\nb\n"), ("stderr", "warning\n")]
    assert (cell.id, dict(cell.metadata)) == ("cell-0", {})
    assert "version" not in notebook.metadata["language_info"]
