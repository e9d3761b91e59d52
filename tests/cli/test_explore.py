"""The command that writes the page: of files that go together, or of the digits."""

import json

import numpy as np
import pytest

from cascade.cli import explore, main
from cascade.cli.ladder_of_digits import Effort
from cascade.core.outcomes import Outcomes


def error_of(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def files(arrays, tmp_path, capsys):
    """A policy fitted on half of the rows, and the other half."""
    outcomes = Outcomes.load(arrays)
    outcomes.take(np.arange(300)).save(tmp_path / "known.npz")
    outcomes.take(np.arange(300, 600)).save(tmp_path / "fresh.npz")
    np.save(tmp_path / "inputs.npy", np.zeros((300, 8, 8)))
    words = ["fit", "--data", str(tmp_path / "known.npz"), "--costs", "1,4,16", "--out", str(tmp_path / "policy.json")]
    assert main(words) == 0
    capsys.readouterr()
    return {name: str(tmp_path / path) for name, path in FILES.items()}


FILES = {"policy": "policy.json", "outcomes": "fresh.npz", "inputs": "inputs.npy", "out": "explore.html"}


def words_of(files, *names):
    return ["explore", *(word for name in names for word in (f"--{name}", files[name]))]


@pytest.mark.slow
def test_saved_files_become_a_page(files, tmp_path, capsys):
    assert main(words_of(files, "policy", "outcomes", "inputs", "out")) == 0
    page = (tmp_path / "explore.html").read_text(encoding="utf-8")
    assert "what the policy does on 300 labelled items" in page
    assert "data:image/png;base64," in page
    assert capsys.readouterr().out.startswith(f"wrote {files['out']}, ")


@pytest.mark.slow
def test_json_says_where_the_page_is_and_how_large(files, tmp_path, capsys):
    assert main([*words_of(files, "policy", "outcomes", "out"), "--json"]) == 0
    size = (tmp_path / "explore.html").stat().st_size
    assert json.loads(capsys.readouterr().out) == {"out": files["out"], "n_bytes": size}


@pytest.mark.slow
def test_files_that_do_not_belong_together_are_an_error_in_one_line(files, tmp_path, capsys):
    np.save(tmp_path / "inputs.npy", np.zeros((7, 8, 8)))
    assert main(words_of(files, "policy", "outcomes", "inputs", "out")) == 2
    assert error_of(capsys).startswith("error: expected one input for each of the 300 items of the outcomes, got 7")
    assert not (tmp_path / "explore.html").exists()


@pytest.mark.parametrize("names", [("policy",), ("outcomes",), ("inputs",), ("policy", "inputs")])
def test_half_of_what_is_needed_is_an_error_that_says_what_to_add(names, capsys):
    assert main(words_of(FILES, *names)) == 2
    named = ", ".join(f"--{name}" for name in names)
    assert error_of(capsys).startswith(f"error: expected --policy and --outcomes together, got {named}: add the other")


def test_a_policy_that_is_not_there_is_an_error_in_one_line(tmp_path, capsys):
    files = {"policy": str(tmp_path / "none.json"), "outcomes": str(tmp_path / "none.npz")}
    assert main(words_of(files, "policy", "outcomes")) == 2
    assert error_of(capsys).startswith("error: expected a policy")


@pytest.mark.slow
def test_without_files_it_shows_the_digits(tmp_path, monkeypatch, capsys):
    little = Effort(mlp_epochs=4, n_networks=2, network_epochs=2)
    digits = explore.explore_digits
    monkeypatch.setattr(
        explore, "explore_digits", lambda out, *, seed: digits(out, seed=seed, effort=little, cell_ms=50.0)
    )
    assert main(["explore", "--out", str(tmp_path / "digits.html")]) == 0
    page = (tmp_path / "digits.html").read_text(encoding="utf-8")
    assert "<h1>Handwritten digits: what a latency budget buys</h1>" in page
    assert "what the policy does on 600 labelled items" in page
    assert "data:image/png;base64," in page
    assert len(page.encode()) <= 2_000_000
