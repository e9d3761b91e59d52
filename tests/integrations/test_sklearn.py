import copy
import pickle  # noqa: TID251 - users of scikit-learn pickle their models
import re
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, ShuffleSplit, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError
from cascade.integrations.sklearn import CascadeClassifier
from cascade.stages.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
X, Y = make_classification(500, n_informative=4, n_classes=3, class_sep=1.2, random_state=0)
TREE, LINEAR = DecisionTreeClassifier(max_depth=4, random_state=0), LogisticRegression()


class Tracked(ClassifierMixin, BaseEstimator):
    """A linear classifier that notes the rows it scores, and raises when it is told to."""

    rows: list[int] = []  # noqa: RUF012 - shared by clones on purpose
    broken = False

    def fit(self, X, y):
        self.model_ = LogisticRegression().fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        if self.broken:
            raise LookupError("the model server is away")
        self.rows.append(len(X))
        return self.model_.predict_proba(X)


@pytest.fixture
def tracked(monkeypatch):
    monkeypatch.setattr(Tracked, "rows", [])
    return Tracked


def fitted(**params):
    return CascadeClassifier([("tree", TREE), ("linear", LINEAR)], **{"random_state": 0, **params}).fit(
        X[:300], Y[:300]
    )


@pytest.mark.slow
# Small data and labels at random, infinite labels that are cast on the way to their error, and pandas if it is missing.
@pytest.mark.filterwarnings(
    "ignore::cascade.errors.CascadeWarning",
    "ignore:invalid value encountered in cast:RuntimeWarning",
    "ignore::sklearn.exceptions.SkipTestWarning",
)
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(CascadeClassifier([("bayes", GaussianNB()), ("linear", LINEAR)]), id="probabilities"),
        pytest.param(CascadeClassifier([("tree", TREE), ("margins", LinearSVC())], cv=3), id="margins"),
        pytest.param(CascadeClassifier([("linear", LINEAR), ("tree", TREE)], service=[1.0, 2.0], cv=2), id="costs"),
        pytest.param(CascadeClassifier(), id="default"),
    ],
)
def test_every_check_of_scikit_learn_passes(model, monkeypatch):
    small = partial(RandomForestClassifier, n_estimators=5)
    monkeypatch.setattr("cascade.integrations.sklearn.RandomForestClassifier", small)
    check_estimator(model)


def test_policy_is_fitted_on_scores_of_models_that_had_not_seen_the_row():
    noise = np.random.default_rng(0).integers(0, 2, 500)
    ladder = [("near", KNeighborsClassifier(1)), ("linear", LINEAR)]
    with pytest.warns(UserWarning, match="ranks"):
        model = CascadeClassifier(ladder, random_state=0).fit(X, noise)
    assert model.estimators_[0].score(X, noise) == 1.0
    assert model.outcomes_.correct[:, 0].mean() < 0.65


def test_out_of_fold_scores_stand_in_the_order_of_the_rows():
    folds = StratifiedKFold(4, shuffle=True, random_state=3)
    model = fitted(cv=folds)
    for k, estimator in enumerate([TREE, LINEAR]):
        wanted = cross_val_predict(estimator, X[:300], Y[:300], cv=folds, method="predict_proba")
        assert_array_equal(model.outcomes_.predicted[:, k], wanted.argmax(axis=1))
        np.testing.assert_allclose(np.exp(model.outcomes_.log_probs[:, k]), wanted, atol=1e-5)


def test_estimators_are_refitted_on_all_rows_and_leave_the_given_ones_alone():
    linear = LogisticRegression()
    model = CascadeClassifier([("linear", linear)], random_state=0).fit(X, Y)
    assert_array_equal(model.named_estimators_["linear"].coef_, LogisticRegression().fit(X, Y).coef_)
    assert not hasattr(linear, "coef_")


def test_only_unsure_rows_reach_the_next_estimator(tracked):
    ladder = [("tree", TREE), ("dear", tracked())]
    model = CascadeClassifier(ladder, random_state=0, max_accuracy_drop=0.03, service=[1.0, 50.0]).fit(X, Y)
    tracked.rows.clear()
    model.predict(X)
    assert 0 < sum(tracked.rows) < len(X)


def test_predictions_are_those_of_the_policy_replayed():
    model = fitted(max_accuracy_drop=0.02)
    stages = [Stage(estimator, name=name) for name, estimator in model.named_estimators_.items()]
    said = Outcomes.record(stages, X[300:], Y[300:], progress=False)
    replay = model.policy_.replay(said)
    assert_array_equal(model.predict(X[300:]), replay.labels)
    assert len(replay.path_counts) > 1
    assert model.score(X[300:], Y[300:]) == pytest.approx(replay.accuracy)


def test_fits_with_one_seed_are_equal():
    one, other = fitted(), fitted()
    assert one.policy_ == other.policy_
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_folds_of_the_policy_follow_the_seed():
    assert fitted(random_state=0).policy_ != fitted(random_state=1).policy_


def test_rows_do_not_sway_one_another_though_batches_are_cheaper_by_the_row():
    times = np.array([[1.0, 1.5, 2.0], [3.0, 9.0, 40.0]])
    table = ServiceTable(
        stages=("tree", "linear"),
        batch_sizes=(1, 8, 32),
        mean_ms=times,
        quantile_ms=np.stack([times] * 4),
        costs=np.array([1.0, 3.0]),
    )
    model = fitted(service=table, max_accuracy_drop=0.02)
    together = model.predict_proba(X[300:])
    assert_array_equal(np.concatenate([model.predict_proba(row[None]) for row in X[300:]]), together)
    assert model.service_ is table
    np.testing.assert_allclose(model.policy_.service.mean_ms[:, 0], [2.0 / 32, 40.0 / 32])


@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_copies_answer_alike_after_the_first_answer(copied):
    model = fitted()
    probs = model.predict_proba(X)
    assert_array_equal(copied(model).predict_proba(X), probs)


@pytest.mark.filterwarnings("ignore::cascade.errors.WeakConfidenceWarning")
@pytest.mark.slow
def test_grid_search_reaches_estimators_by_name_and_can_drop_them():
    grid = {"tree__max_depth": [4, 6], "linear": [LINEAR, "drop"], "max_accuracy_drop": [0.0]}
    model = CascadeClassifier([("tree", TREE), ("linear", LINEAR)], random_state=0)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, Y)
    assert search.best_estimator_.policy_.stages == ("tree", "linear")
    assert search.best_params_["tree__max_depth"] == search.best_estimator_.named_estimators_["tree"].max_depth
    dropped = clone(model).set_params(linear="drop").fit(X, Y)
    assert dropped.policy_.stages == ("tree",)


def test_works_as_the_last_step_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), CascadeClassifier([("tree", TREE), ("linear", LINEAR)], random_state=0))
    pipeline.set_params(cascadeclassifier__linear__C=0.5).fit(X[:300], Y[:300])
    assert pipeline.score(X[300:], Y[300:]) > 0.5
    assert pipeline[-1].named_estimators_["linear"].C == 0.5


def test_wrong_input_raises_what_the_estimator_says_and_spoils_nothing():
    model = fitted()
    probs = model.predict_proba(X)
    for _ in range(8):
        with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 20"):
            model.predict(X[:, :3])
    assert_array_equal(model.predict_proba(X), probs)


def test_failing_estimator_is_not_silently_replaced_by_the_others(tracked, monkeypatch):
    ladder = [("tree", TREE), ("dear", tracked())]
    model = CascadeClassifier(ladder, random_state=0, max_accuracy_drop=0.0).fit(X, Y)
    monkeypatch.setattr(tracked, "broken", True)
    with pytest.raises(LookupError, match="model server"):
        model.predict(X)


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.parametrize("second", [LINEAR, LinearSVC()], ids=["probabilities", "margins"])
def test_class_that_is_missing_from_a_fold_has_no_probability_there(second):
    labels = Y % 2
    labels[7] = 5
    model = CascadeClassifier([("tree", TREE), ("second", second)], random_state=0).fit(X, labels)
    assert_array_equal(model.classes_, [0, 1, 5])
    assert (np.exp(model.outcomes_.log_probs[7, :, 2]) < 1e-6).all()
    assert model.predict_proba(X).shape == (500, 3)


@pytest.mark.filterwarnings("ignore::cascade.errors.CascadeWarning", "ignore:The least populated class:UserWarning")
def test_fold_with_one_class_to_learn_from_says_that_class():
    labels = np.zeros(30, int)
    labels[3] = 1
    model = CascadeClassifier([("linear", LINEAR)], random_state=0).fit(X[:30], labels)
    assert model.outcomes_.predicted[3, 0] == 0
    assert model.estimators_[0].n_features_in_ == model.n_features_in_ == 20


@pytest.mark.parametrize("names", [["no", "so", "yes"], [False, True], [1.0, 2.0, 3.0]], ids=["text", "bool", "float"])
def test_labels_come_back_as_they_were_given(names):
    labels = np.array(names)[Y % len(names)]
    model = CascadeClassifier([("tree", TREE), ("linear", LINEAR)], random_state=0).fit(X, labels)
    assert model.predict(X).dtype == labels.dtype
    assert set(model.predict(X)) <= set(labels)
    assert_array_equal(model.named_estimators_["linear"].classes_, model.classes_)


def test_rows_may_be_texts():
    texts = [f"{('bad', 'good')[k % 2]} day {k % 7}" for k in range(200)]
    ladder = [(name, make_pipeline(CountVectorizer(), each)) for name, each in (("tree", TREE), ("linear", LINEAR))]
    model = CascadeClassifier(ladder, random_state=0).fit(texts, np.arange(200) % 2)
    assert model.predict(["good day", "bad day"]).tolist() == [1, 0]
    assert not hasattr(model, "n_features_in_")


def test_sparse_rows_answer_as_dense_ones_do():
    model = fitted()
    assert_array_equal(model.predict(sparse.coo_array(X)), model.predict(X))


def test_estimator_that_cannot_fit_the_budget_is_not_run(tracked):
    ladder = [("tree", TREE), ("dear", tracked())]
    model = CascadeClassifier(ladder, random_state=0, service=[1e-6, 1e6], max_accuracy_drop=0.0).fit(X, Y)
    tracked.rows.clear()
    model.predict(X)
    assert tracked.rows
    model.set_params(budget_ms=1e5).predict(X)
    tracked.rows.clear()
    probs = model.predict_proba(X)
    assert not tracked.rows
    assert_array_equal(probs.argmax(axis=1), model.estimators_[0].predict_proba(X).argmax(axis=1))


def test_budget_is_held_against_whole_batches_though_rows_are_cheap_in_large_ones(tracked):
    times = np.array([[1e-6, 1e-6], [1e6, 1e6]])
    table = ServiceTable(
        stages=("tree", "dear"),
        batch_sizes=(1, 1 << 30),
        mean_ms=times,
        quantile_ms=np.stack([times] * 4),
        costs=np.array([1.0, 2.0]),
    )
    ladder = [("tree", TREE), ("dear", tracked())]
    model = CascadeClassifier(ladder, random_state=0, service=table, max_accuracy_drop=0.0).fit(X, Y)
    model.set_params(budget_ms=1e5).predict(X)
    tracked.rows.clear()
    model.predict(X)
    assert not tracked.rows


@pytest.mark.slow
def test_times_are_measured_where_a_budget_needs_them():
    assert fitted().service_.stamp is None
    assert fitted(budget_ms=1e4).service_.stamp is not None
    measured = fitted(service="measured")
    assert measured.service_.stamp is not None
    assert measured.policy_.service.stamp is None
    late = fitted().set_params(budget_ms=1e6)
    assert late.predict(X).shape == (500,)


def test_fits_in_parallel_are_the_fits_one_after_the_other():
    with parallel_config(backend="threading"):
        assert_array_equal(fitted(n_jobs=2).predict_proba(X), fitted().predict_proba(X))


def test_row_that_one_estimator_would_refuse_is_refused_whichever_answers():
    model = CascadeClassifier([("tree", TREE), ("linear", LINEAR)], random_state=0).fit(X, Y)
    holes = X.copy()
    holes[5, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict(holes)
    assert CascadeClassifier([("tree", TREE)], random_state=0).fit(holes, Y).predict(holes).shape == (500,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimators": []}, "expected 1 to 8 estimators"),
        ({"estimators": [LINEAR]}, "pairs (name, estimator)"),
        ({"estimators": [("cv", LINEAR)]}, "conflict with constructor arguments"),
        ({"estimators": [("a", LINEAR), ("a", LINEAR)]}, "not unique"),
        ({"estimators": [("ridge", Ridge())]}, "expected a classifier with predict_proba or decision_function"),
        ({"estimators": [(str(k), LINEAR) for k in range(9)]}, "expected 1 to 8 estimators"),
        ({"estimators": [("a", "drop")]}, "expected 1 to 8 estimators"),
        ({"service": "fast"}, '"measured"'),
        ({"service": [1.0, 2.0, 3.0]}, "expected 2 costs, one per estimator that is not dropped, got 3"),
        ({"service": ServiceTable.from_costs([1.0])}, "got 1"),
        ({"cv": ShuffleSplit(3)}, "exactly once"),
        ({"max_accuracy_drop": 2.0}, "max_accuracy_drop"),
    ],
)
def test_parameter_that_cannot_work_says_so(params, message):
    model = CascadeClassifier([("tree", TREE), ("linear", LINEAR)]).set_params(**params)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(X, Y)


def test_one_class_is_refused():
    with pytest.raises(DataError, match="at least two classes, got 1 class"):
        CascadeClassifier([("tree", TREE)]).fit(X, np.ones(500, int))


def test_scores_that_are_not_finite_are_refused(tracked, monkeypatch):
    model = CascadeClassifier([("dear", tracked())], random_state=0).fit(X, Y)
    monkeypatch.setattr(tracked, "predict_proba", lambda self, X: np.full((len(X), 3), np.nan))
    with pytest.raises(RuntimeError, match="'dear': expected finite scores"):
        model.predict(X)


def test_unknown_budget_is_refused_when_predicting():
    with pytest.raises(ConfigurationError, match="budget_ms >= 0"):
        fitted(service=[1.0, 5.0], budget_ms=-1.0).predict(X)


@pytest.mark.slow
def test_example_runs(capsys):
    runpy.run_path(str(ROOT / "examples" / "sklearn_pipeline.py"))
    assert "cascade       : accuracy 0.9" in capsys.readouterr().out


@pytest.mark.slow
def test_code_of_the_how_to_runs_as_typed(capsys):
    page = (ROOT / "docs" / "how-to-sklearn.md").read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "typed"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "how-to-sklearn.md", "exec"), namespace)
    assert "Plan without a deadline" in capsys.readouterr().out
