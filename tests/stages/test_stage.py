import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from cascade.core.records import StageOutput
from cascade.errors import ConfigurationError, InputMismatch
from cascade.stages.stage import Stage

REPOSITORY = Path(__file__).resolve().parents[2]


def ramp(batch):
    return np.stack((batch, -batch), axis=1)


class Callable:
    def __call__(self, batch):
        return ramp(batch)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ramp, "ramp"),
        (lambda batch: batch, "lambda"),
        (partial(partial(ramp), 1), "ramp"),
        (Callable(), "callable"),
        (nn.Linear(1, 2), "linear"),
        (np.exp, "exp"),
    ],
)
def test_a_model_names_its_stage(model, name):
    assert Stage(model).name == name


def test_a_stage_may_be_given_another_name():
    assert Stage(ramp, name="small").name == "small"


@pytest.mark.parametrize("name", ["", 3, b"small"])
def test_a_name_that_is_no_string_or_empty_is_refused(name):
    with pytest.raises(
        ConfigurationError, match=f"expected the name of a stage to be a non-empty string, got {name!r}"
    ):
        Stage(ramp, name=name)


def test_scores_of_an_unknown_kind_are_refused():
    with pytest.raises(
        ConfigurationError, match="""stage 'ramp': expected scores "probs" or "logits", got 'margins'"""
    ):
        Stage(ramp, scores="margins")


@pytest.mark.parametrize("classes", [["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}.keys()])
def test_classes_become_a_tuple(classes):
    assert Stage(ramp, classes=classes).classes == ("a", "b")


@pytest.mark.parametrize("classes", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_different_classes_are_refused(classes):
    with pytest.raises(ConfigurationError, match="expected two or more different classes, got"):
        Stage(ramp, classes=classes)


def test_classes_that_cannot_be_hashed_are_refused():
    with pytest.raises(ConfigurationError, match="expected hashable classes, got"):
        Stage(ramp, classes=[[1], [2]])


@pytest.mark.parametrize("version", ["", 1, b"1"])
def test_a_version_that_is_no_string_or_empty_is_refused(version):
    with pytest.raises(ConfigurationError, match=f"expected version to be a non-empty string, got {version!r}"):
        Stage(ramp, version=version)


def test_a_preprocess_that_cannot_be_called_is_refused():
    with pytest.raises(ConfigurationError, match="expected preprocess to be callable, got 3"):
        Stage(ramp, preprocess=3)


@pytest.mark.parametrize("model", [LogisticRegression, Callable])
def test_a_class_is_refused(model):
    with pytest.raises(ConfigurationError, match=f"got the class {model.__name__}; give an instance of it"):
        Stage(model)


@pytest.mark.parametrize("model", [3, "model", LinearRegression(), Stage(ramp)])
def test_what_cannot_be_run_is_refused_with_what_can(model):
    with pytest.raises(ConfigurationError, match=f"cannot run a {type(model).__name__}: expected a fitted classifier"):
        Stage(model)


def test_only_torch_modules_can_be_placed(logistic):
    for model in (ramp, logistic):
        with pytest.raises(ConfigurationError, match=r"got 'cuda'; only torch modules can be placed"):
            Stage(model, device="cuda")


def test_the_model_is_given_what_preprocess_returns():
    stage = Stage(ramp, preprocess=lambda batch: batch + 1.0)
    assert stage.run(np.array([1.0, 2.0]))[0].tolist() == [[2, -2], [3, -3]]


def test_a_preprocess_that_loses_rows_is_refused():
    with pytest.raises(
        InputMismatch, match="stage 'ramp': expected preprocess to keep the 3 rows of the batch, got 2 back"
    ):
        Stage(ramp, preprocess=lambda batch: batch[1:]).run(np.zeros(3))


def test_a_preprocess_goes_with_answers_too():
    stage = Stage(lambda batch: StageOutput(batch, batch), preprocess=lambda batch: batch / 2)
    assert stage.run(np.array([1.0, 0.5]))[0].outputs.tolist() == [0.5, 0.25]


def test_the_fingerprint_is_the_version_where_one_is_given():
    assert Stage(ramp, version="7").fingerprint == "7"


def test_the_fingerprint_is_taken_once_and_remembered(mlp):
    stage = Stage(mlp, device="cpu")
    before = stage.fingerprint
    nn.init.zeros_(mlp[0].weight)
    assert stage.fingerprint == before != Stage(mlp, device="cpu").fingerprint


def test_the_preprocess_counts_for_the_fingerprint():
    plain = Stage(ramp).fingerprint
    halved = Stage(ramp, preprocess=lambda batch: batch / 2).fingerprint
    doubled = Stage(ramp, preprocess=lambda batch: batch * 2).fingerprint
    assert len({plain, halved, doubled}) == 3


def test_an_ordinary_stage_takes_and_joins_nothing():
    stage = Stage(ramp)
    assert stage.take(None, np.array([0])) is None
    assert stage.join([None, None]) is None
    assert stage.requires is None


def test_a_stage_shows_what_it_is():
    assert repr(Stage(ramp, name="small")) == "Stage('small', scores='logits', device='cpu')"


@pytest.mark.slow
def test_a_callable_needs_neither_torch_nor_scikit_learn():
    script = (
        "import sys, numpy as np\n"
        "from cascade.stages.stage import Stage\n"
        "Stage(lambda batch: np.stack((batch, batch), axis=1)).run(np.zeros(2))\n"
        "print([name for name in ('torch', 'sklearn') if name in sys.modules])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
