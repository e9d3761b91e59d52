"""The commands that the help shows can be typed."""

from __future__ import annotations

import re
import shlex
import sys

import numpy as np
import pytest

from cascade.cli import help_texts, main
from cascade.cli.arguments import build_parser
from cascade.core.outcomes import Outcomes

TEXTS = {name: text for name, text in vars(help_texts).items() if name.isupper()}
# From "cascade" to the end of what the shell hands to it.
TYPED = re.compile(r"^  (?:source <\()?cascade ([^>)\n]+)", re.MULTILINE)
MODELS = """
from cascade.testing import FakeStage

stages = [FakeStage(name, [[0.9, 0.1], [0.2, 0.8]]) for name in ("small", "middle", "big")]
"""


def examples(*names):
    return [shlex.split(words) for name in names for words in TYPED.findall(TEXTS[name])]


@pytest.fixture
def folder(arrays, tmp_path, monkeypatch):
    """The files that the examples name: three stages, what they said about known and about fresh items."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_models.py").write_text(MODELS, encoding="utf-8")
    np.save("inputs.npy", np.array([0, 1, 1, 0]))
    np.save("fresh_inputs.npy", np.zeros((300, 8, 8)))
    known = Outcomes.load(arrays)
    fresh = known.take(np.arange(300))
    fresh.save("fresh.npz")
    known.take(np.arange(300, 600)).save("arrays.npz")
    for outcomes, path in ((fresh, "fresh.csv"), (known.take(np.arange(300, 600)), "answers.csv")):
        (tmp_path / path).write_text("\n".join(sheet(outcomes)), encoding="utf-8")
    (tmp_path / "day.csv").write_text("\n".join(str(5.0 * i) for i in range(200)), encoding="utf-8")
    yield tmp_path
    sys.modules.pop("my_models", None)


def sheet(outcomes):
    """A row for each item, as lines of CSV."""
    yield ",".join(["label", *(f"{name}_label,{name}_confidence" for name in outcomes.stages)])
    for truth, said, sure in zip(outcomes.labels, outcomes.predicted, outcomes.confidence, strict=True):
        yield ",".join([str(truth), *(f"{label},{trust}" for label, trust in zip(said, sure, strict=True))])


@pytest.mark.parametrize("name", TEXTS)
def test_every_example_can_be_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = examples(name)
    assert typed
    for words in typed:
        build_parser().parse_args(words)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cascade.errors.CascadeWarning")
def test_the_examples_do_what_they_say_one_after_the_other(folder, capsys):
    for words in examples("PROFILE", "FIT"):
        assert main(words) == 0, words
    # The promise that the examples ask for takes thousands of items to prove.
    certifying = [[*words, "--max-risk", "0.5", "--delta", "0.2"] for words in examples("CERTIFY")]
    for words in [
        *certifying,
        ["profile", *examples("PROFILE")[0][1:-1], "other_machine.json"],
        *examples("EXPLAIN", "SIMULATE"),
        # The first, without files, trains models.
        *examples("EXPLORE")[1:],
    ]:
        assert main(words) == 0, words
    assert {path.name for path in folder.glob("*.json")} >= {"policy.json", "service.json", "certified.json"}
    assert "error" not in capsys.readouterr().err
