import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from cascade.errors import ConfigurationError, StageOutputError
from cascade.stages.stage import Stage

REPOSITORY = Path(__file__).resolve().parents[2]


class Scorer:
    """Looks like a classifier, is none of scikit-learn's."""

    def __init__(self, columns, classes=None):
        self.columns = columns
        if classes is not None:
            self.classes_ = np.array(classes)

    def decision_function(self, X):
        return np.zeros((len(X), self.columns)) if self.columns else np.zeros(len(X))


def test_probabilities_are_taken_where_there_are_any(logistic, X):
    stage = Stage(logistic)
    np.testing.assert_allclose(stage.run(X)[0], logistic.predict_proba(X))
    assert (stage.name, stage.scores, stage.device) == ("logisticregression", "probs", "cpu")


def test_decision_values_are_taken_where_asked_for(logistic, X):
    stage = Stage(logistic, scores="logits")
    np.testing.assert_allclose(stage.run(X)[0], logistic.decision_function(X))


def test_decision_values_are_taken_where_there_are_no_probabilities(X, y):
    model = LinearSVC().fit(X, y)
    stage = Stage(model)
    assert stage.scores == "logits"
    np.testing.assert_allclose(stage.run(X)[0], model.decision_function(X))


def test_the_softmax_of_a_binary_decision_is_its_logistic_function(X, y):
    model = LogisticRegression().fit(X, y > 0)
    scores, _ = Stage(model, scores="logits").run(X)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, model.predict_proba(X), atol=1e-6)
    assert scores.flags.c_contiguous


def test_classes_are_python_scalars(logistic, X, y):
    assert Stage(logistic).classes == (0, 1, 2)
    assert type(Stage(logistic).classes[0]) is int
    words = np.array(["low", "mid", "high"])[y]
    assert Stage(LogisticRegression().fit(X, words)).classes == ("high", "low", "mid")


def test_classes_that_agree_may_be_given(logistic):
    assert Stage(logistic, classes=np.array([0, 1, 2])).classes == (0, 1, 2)


def test_classes_that_differ_from_the_estimators_are_refused(logistic):
    with pytest.raises(
        ConfigurationError, match=r"the estimator's own classes \(0, 1, 2\), got classes=\('a', 'b', 'c'\)"
    ):
        Stage(logistic, classes=["a", "b", "c"])


def test_classes_may_be_given_where_the_estimator_has_none():
    assert Stage(Scorer(2), classes=["a", "b"]).classes == ("a", "b")
    assert Stage(Scorer(2)).classes is None


def test_a_tensor_is_taken_as_an_array(logistic, X):
    np.testing.assert_array_equal(Stage(logistic).run(torch.from_numpy(X))[0], Stage(logistic).run(X)[0])


@pytest.mark.parametrize("model", [LogisticRegression(), make_pipeline(StandardScaler(), LinearSVC())])
def test_an_estimator_that_is_not_fitted_is_refused(model):
    with pytest.raises(ConfigurationError, match=f"got a {type(model).__name__} that is not fitted; call fit before"):
        Stage(model)


def test_several_outputs_at_once_are_refused(X, y):
    forest = RandomForestClassifier(n_estimators=2).fit(X, np.stack((y, y), axis=1))
    with pytest.raises(ConfigurationError, match="predicts several outputs at once; make one stage per output"):
        Stage(forest)


def test_several_labels_per_item_are_refused(X, y):
    model = OneVsRestClassifier(LogisticRegression()).fit(X, np.eye(3, dtype=int)[y])
    with pytest.raises(ConfigurationError, match="predicts several outputs at once"):
        Stage(model)


def test_a_method_that_is_not_there_is_refused(X, y):
    with pytest.raises(
        ConfigurationError, match="scores='probs' needs predict_proba, which this LinearSVC does not have"
    ):
        Stage(LinearSVC().fit(X, y), scores="probs")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda svc: svc,
        lambda svc: make_pipeline(StandardScaler(), svc),
        lambda svc: GridSearchCV(svc, {"C": [1.0]}, cv=2),
    ],
)
def test_one_to_one_comparisons_are_refused_even_with_three_classes(wrap, X, y):
    model = wrap(SVC(decision_function_shape="ovo")).fit(X, y)
    with pytest.raises(ConfigurationError, match=r"compares classes one to one .* decision_function_shape='ovr'"):
        Stage(model)


def test_one_to_one_comparisons_of_two_classes_are_one_decision(X, y):
    assert Stage(SVC(decision_function_shape="ovo").fit(X, y > 0)).run(X)[0].shape == (30, 2)


def test_one_to_one_columns_of_a_foreign_model_are_refused_when_it_runs():
    stage = Stage(Scorer(6, classes=[0, 1, 2, 3]))
    with pytest.raises(ConfigurationError, match=r"6 columns for 4 classes.*decision_function_shape='ovr'"):
        stage.run(np.zeros((2, 1)))


def test_another_number_of_columns_is_refused_when_it_runs():
    with pytest.raises(StageOutputError, match="one column of scores per class, 3 of them"):
        Stage(Scorer(5, classes=[0, 1, 2])).run(np.zeros((2, 1)))


def test_what_the_estimator_raises_passes_through(logistic):
    with pytest.raises(ValueError, match="2 features"):
        Stage(logistic).run(np.zeros((2, 2)))


def test_the_fingerprint_follows_the_fitted_state(X, y):
    first = Stage(LogisticRegression().fit(X, y))
    again = Stage(LogisticRegression().fit(X, y))
    other = Stage(LogisticRegression(C=0.1).fit(X, y))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_an_estimator_that_cannot_be_hashed_asks_for_a_version(X, y):
    model = make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression()).fit(X, y)
    with pytest.raises(
        ConfigurationError, match=r"this Pipeline cannot be hashed .* give Stage\(\.\.\., version=\.\.\.\)"
    ):
        _ = Stage(model).fingerprint
    assert Stage(model, version="1").fingerprint == "1"


@pytest.mark.slow
def test_another_process_finds_the_same_fingerprint():
    script = (
        "import numpy as np\n"
        "from sklearn.linear_model import SGDClassifier\n"
        "from cascade.stages.stage import Stage\n"
        "X = np.arange(12.0).reshape(6, 2)\n"
        "print(Stage(SGDClassifier(random_state=0).fit(X, [0, 1, 0, 1, 0, 1])).fingerprint)\n"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    model = SGDClassifier(random_state=0).fit(np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1])
    assert other.stdout.strip() == Stage(model).fingerprint


def test_threads_of_an_estimator_can_be_limited(logistic):
    stage = Stage(logistic)
    before = stage.threads()
    with stage.limit_threads(3):
        assert stage.threads() == 3
    assert stage.threads() == before
