"""A cascade as one scikit-learn classifier: fitted on one training set, it predicts with the policy of `fit_policy`.

Wires cross-fitting, `fit_policy` and `Predictor` together; decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, assert_all_finite, check_random_state, column_or_1d, indexable
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from cascade.calibration.checks import MAX_STAGES
from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.core.records import FloatArray
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, DataError
from cascade.integrations.sklearn_answers import Answering, measured_table
from cascade.integrations.sklearn_cross_fit import fitted_clones, held_out_probs

_STEP = 5.0
"""How many times dearer than the estimator before it each one is taken to be, where nothing is known."""


class CascadeClassifier(ClassifierMixin, _BaseComposition):  # type: ignore[misc]  # scikit-learn carries no types
    """Runs the dearer of several classifiers only on the rows where it is likely to help.

    Parameters
    ----------
    estimators : list of (str, estimator), optional
        At most 8, from the cheapest to the dearest, each with ``predict_proba`` or ``decision_function``; ``"drop"`` in
        the place of one leaves it out. By default a scaled logistic regression and a random forest.
    cv : int, splitter or iterable of splits, optional
        Folds for the out-of-fold scores that the policy is fitted on, as in `sklearn.model_selection.check_cv`: five,
        stratified, by default. Each row must be held out exactly once.
    max_accuracy_drop : float, optional
        Accuracy, in [0, 1], that may be given up for time, as in `fit_policy`.
    budget_ms : float, optional
        Milliseconds that a call of ``predict`` or ``predict_proba`` may take; None for no deadline. May be set after
        fitting.
    service : ServiceTable, array-like of shape (K,) or "measured", optional
        What the estimators take: a table, milliseconds (or any other unit, if there is no budget) per row, or
        ``"measured"`` to time them on training rows, which takes a second. None takes each to be five times as dear as
        the one before, or measures where there is a budget.
    random_state : int, RandomState or None
        Seeds the folds inside `fit_policy` and the default estimators; given estimators keep their own.
    n_jobs : int, optional
        Fits that run in parallel, as in joblib.

    Attributes
    ----------
    classes_ : ndarray of shape (c,)
    estimators_ : list of K estimators
        Fitted on all rows and the labels as given.
    named_estimators_ : Bunch
        The same by name.
    policy_ : Policy
        Solved for the time per row that ``service_`` gives in its largest batches.
    service_ : ServiceTable
    outcomes_ : Outcomes
        Out of fold: what clones said that had not seen the row, in the order of the rows.
    n_features_in_, feature_names_in_
        Of the first estimator, where it has them.

    Notes
    -----
    Without a budget and measured times, fits with the same ``random_state`` are equal, and what is predicted for a row
    does not depend on the rows beside it. Measured times differ a little from fit to fit and may tip a decision; a
    budget makes answers depend on the clock. The first call under a budget prepares, outside the budget.

    An error of an estimator is raised as it is, not answered by the other ones as in `Predictor`. Sample weights are
    not taken, since the policy counts every row once.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = make_classification(400, random_state=0)
    >>> ladder = [("tree", DecisionTreeClassifier(max_depth=2)), ("linear", LogisticRegression())]
    >>> model = CascadeClassifier(ladder, random_state=0).fit(X[:300], y[:300])
    >>> model.policy_.stages, model.predict(X[300:]).shape
    (('tree', 'linear'), (100,))
    """

    def __init__(
        self,
        estimators: Any = None,
        *,
        cv: Any = None,
        max_accuracy_drop: float | None = None,
        budget_ms: float | None = None,
        service: Any = None,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimators = estimators
        self.cv = cv
        self.max_accuracy_drop = max_accuracy_drop
        self.budget_ms = budget_ms
        self.service = service
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the estimators, and the policy on their out-of-fold scores.

        Parameters
        ----------
        X : n rows, in any form that the estimators take
        y : array-like of shape (n,)
            Labels of at least two classes.

        Raises
        ------
        ConfigurationError
            If a parameter cannot work.
        DataError
            If there is one class only, or fewer than five rows.

        Warns
        -----
        SmallSampleWarning
            If there are fewer than 50 rows per estimator.
        """
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        ladder = self._ladder(seed)
        table = _given_table(self.service, len(ladder))
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        (X,) = indexable(X)
        check_consistent_length(X, labels)
        classes = _distinct_classes(labels)
        named = fitted_clones(ladder, X, labels, self.n_jobs)
        probs = held_out_probs(ladder, X, labels, cv=self.cv, n_jobs=self.n_jobs)
        outcomes = Outcomes.from_probs(probs, labels, stages=tuple(ladder), classes=classes.tolist())
        is_assumed = self.service is None and self.budget_ms is None
        if table is None:
            table = _assumed_table(len(ladder)) if is_assumed else measured_table(named, X, seed)
        policy = fit_policy(outcomes, _per_row(table), self.max_accuracy_drop, seed, progress=False)
        self.classes_, self.estimators_, self.named_estimators_ = classes, list(named.values()), Bunch(**named)
        self.outcomes_, self.service_, self.policy_ = outcomes, table, policy
        self._takes_nan = all(tags.allow_nan for tags in _input_tags(named))
        self._answering = Answering(named, policy, None if is_assumed else table)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each row, shape (n,).

        Parameters
        ----------
        X : n rows, as in `fit`
        """
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability of each class, pooled over the estimators that ran for the row, shape (n, c).

        Parameters
        ----------
        X : n rows, as in `fit`
        """
        check_is_fitted(self)
        (rows,) = indexable(X)
        if not self._takes_nan and getattr(getattr(rows, "dtype", None), "kind", None) == "f":
            # Here, because a row that a cheap tolerant estimator answers never meets the one that would refuse it.
            assert_all_finite(rows, input_name="X")
        return self._answering.answers(rows, self.budget_ms).probs

    @property
    def n_features_in_(self) -> int:
        """Number of features of the first estimator; missing where it has none."""
        return int(self.estimators_[0].n_features_in_)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the features of the first estimator; missing where it has none."""
        return np.asarray(self.estimators_[0].feature_names_in_)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, and with ``deep`` the estimators by name and their parameters as ``name__parameter``."""
        return dict(self._get_params("estimators", deep=deep))

    def set_params(self, **params: Any) -> Self:
        """Set parameters, estimators by name, or their parameters as ``name__parameter``."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            inputs = _input_tags(self._ladder(0))
        except ValueError:
            # Tags are asked for before the parameters are checked.
            return tags
        tags.input_tags.allow_nan = all(each.allow_nan for each in inputs)
        tags.input_tags.sparse = all(each.sparse for each in inputs)
        return tags

    def _ladder(self, seed: int) -> dict[str, Any]:
        """The estimators that take part, by name.

        Raises
        ------
        ConfigurationError
            If they are not 1 to 8 named classifiers that score their classes.
        """
        given = _default_estimators(seed) if self.estimators is None else self.estimators
        if not isinstance(given, Sequence) or not all(_is_pair(pair) for pair in given):
            raise ConfigurationError(f"expected estimators as a list of pairs (name, estimator), got {given!r}")
        self._validate_names([name for name, _ in given])
        ladder = {name: each for name, each in given if not (isinstance(each, str) and each == "drop")}
        if not 1 <= len(ladder) <= MAX_STAGES:
            raise ConfigurationError(f"expected 1 to {MAX_STAGES} estimators besides those dropped, got {len(ladder)}")
        for name, each in ladder.items():
            if not (hasattr(each, "fit") and (hasattr(each, "predict_proba") or hasattr(each, "decision_function"))):
                raise ConfigurationError(
                    f"estimator {name!r}: expected a classifier with predict_proba or decision_function, got {each!r}"
                )
        return ladder


def _default_estimators(seed: int) -> list[tuple[str, Any]]:
    # Not centred, so that sparse rows stay sparse.
    linear = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(max_iter=1000))
    return [("linear", linear), ("forest", RandomForestClassifier(random_state=seed))]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)


def _input_tags(estimators: Mapping[str, Any]) -> list[Any]:
    """What the estimators say about the inputs they take; those of other packages may say nothing."""
    return [each.__sklearn_tags__().input_tags for each in estimators.values() if hasattr(each, "__sklearn_tags__")]


def _distinct_classes(labels: NDArray[Any]) -> NDArray[Any]:
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(f"expected labels of at least two classes, got 1 class or none: {classes.tolist()}")
    return classes


def _given_table(service: Any, k: int) -> ServiceTable | None:
    """The table that the caller gave, if any."""
    if service is None or isinstance(service, ServiceTable):
        return service
    if isinstance(service, str):
        if service == "measured":
            return None
        raise ConfigurationError(f'expected service as a table, {k} costs or "measured", got {service!r}')
    table = ServiceTable.from_costs(service)
    if table.n_stages != k:
        raise ConfigurationError(f"expected {k} costs, one per estimator that is not dropped, got {table.n_stages}")
    return table


def _assumed_table(k: int) -> ServiceTable:
    return ServiceTable.from_costs(_STEP ** np.arange(k))


def _per_row(table: ServiceTable) -> ServiceTable:
    """The time per row in the largest batches, for batches of any size: so that rows do not sway one another."""
    return ServiceTable.from_costs(table.costs, table.mean_ms[:, -1] / table.batch_sizes[-1], stages=table.stages)
