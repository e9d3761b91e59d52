"""What the pages tell to type into a shell can be typed: commands of cascade run, targets of make are there."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.cli import main
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(?:sh|console|bash)\n(.*?)```", re.DOTALL)
# Written from the help texts, whose examples tests/cli/test_help_examples.py runs.
GENERATED = "command-line.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
# Programs that a test of their own runs, or that fetch what is missing.
OTHERS = {"gunicorn", "uvicorn", "pip", "python"}
# They train models first, which takes a minute; tests of their own run them with less effort.
TRAINING = (["cascade", "demo"], ["cascade", "explore"])
MODELS = """
from cascade.testing import FakeStage

answers = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]]
stages = [FakeStage(name, answers) for name in ("small", "middle", "big")]
"""


def typed(page):
    """Every command of a page as a list of words, without the prompt and what stands behind a hash."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    lines = (line.removeprefix("$ ") for block in blocks for line in block.splitlines())
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [(page.name, words) for page in PAGES if page.name != GENERATED for words in typed(page)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the pages name: a policy, outcomes that it was not fitted on, the log of a day."""
    folder = tmp_path_factory.mktemp("typed")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1200)
    logits = rng.normal(size=(1200, 3, 4)) + np.array([1.0, 1.8, 2.8])[None, :, None] * np.eye(4)[labels][:, None, :]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels, stages=("small", "middle", "big"))
    service = ServiceTable.from_costs([0.3, 1.0, 4.0], stages=outcomes.stages)
    service.save(folder / "service.json")
    policy = fit_policy(outcomes.take(np.arange(600)), service)
    # Where a page makes a file first, another one may lie there: each command can be tried by itself.
    for name in ("policy.json", "certified.json"):
        policy.save(folder / name)
    outcomes.take(np.arange(600)).save(folder / "arrays.npz")
    outcomes.take(np.arange(600, 1200)).save(folder / "fresh.npz")
    np.save(folder / "fresh_inputs.npy", rng.normal(size=(600, 8)))
    (folder / "my_models.py").write_text(MODELS, encoding="utf-8")
    np.save(folder / "inputs.npy", np.array([0, 1] * 5))
    np.save(folder / "labels.npy", np.array([0, 1] * 5))
    (folder / "day.csv").write_text("\n".join(str(10.0 * i) for i in range(200)), encoding="utf-8")
    return folder


def save_slow_baseline(words):
    """What a command compares with: measured as it measures, and a thousand times slower, so that no hiccup makes it fail."""
    place = words.index("--compare")
    assert main([*words[1:place], "--out", words[place + 1], *words[place + 2 :]]) == 0
    path = Path(words[place + 1])
    found = json.loads(path.read_text(encoding="utf-8"))
    found["latency_ms"] = (1000.0 * np.array(found["latency_ms"])).tolist()
    path.write_text(json.dumps(found), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [words for _, words in COMMANDS if words[0] == "cascade" and words not in TRAINING], ids=" ".join
)
def test_a_command_of_cascade_does_what_it_says(words, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    if "--compare" in words:
        save_slow_baseline(words)
    assert main(words[1:]) == 0
    printed = capsys.readouterr()
    assert printed.out
    assert "error" not in printed.err


@pytest.mark.parametrize("words", [words for _, words in COMMANDS if words[0] == "make"], ids=" ".join)
def test_a_target_of_make_is_there(words):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert words[1] in targets


def test_there_are_no_commands_that_nobody_tries():
    assert {words[0] for _, words in COMMANDS} <= {"cascade", "make", *OTHERS}
