"""A fitted scikit-learn classifier, or anything with its interface, as a stage."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from cascade.core.rows import n_rows
from cascade.errors import ConfigurationError
from cascade.stages.backends import limit_pool_threads, pool_threads
from cascade.stages.base import Runner
from cascade.stages.outputs import as_scores

_METHODS = {"probs": "predict_proba", "logits": "decision_function"}


class SklearnRunner(Runner):
    """Runs ``predict_proba``, or else ``decision_function``, of a fitted classifier.

    Parameters
    ----------
    estimator : object
        A fitted classifier or pipeline.
    name : str
        The stage's name, for messages.
    scores : {"probs", "logits"} or None
        ``"probs"`` wants ``predict_proba`` and ``"logits"`` wants ``decision_function``; None takes the first there is.
    classes : tuple or None
        For estimators without ``classes_``; else the two must agree.

    Raises
    ------
    ConfigurationError
        If the estimator is not fitted, predicts several outputs at once, lacks the method, compares classes one to
        one, or has other classes than the ones given.

    Notes
    -----
    A binary decision value d becomes the two columns (-d/2, d/2), whose softmax is the logistic function of d.
    """

    def __init__(self, estimator: Any, *, name: str, scores: str | None, classes: tuple[Hashable, ...] | None) -> None:
        _check_fitted(estimator, name)
        self.scores = scores or ("probs" if hasattr(estimator, "predict_proba") else "logits")
        self.classes = _classes(estimator, name, classes)
        self.device = "cpu"
        self._estimator = estimator
        self._name = name
        self._n_classes = None if self.classes is None else len(self.classes)
        self._answer = _method(estimator, name, self.scores)
        if self.scores == "logits":
            self._check_one_column_per_class()

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:  # noqa: ARG002 - there is nothing to continue from
        """Scores (n, c) for the n rows of ``batch``; carries nothing on."""
        raw = self._answer(batch.detach().cpu().numpy() if hasattr(batch, "detach") else batch)
        if self.scores == "logits":
            raw = self._one_column_per_class(raw)
        return as_scores(raw, n_rows(batch), self._name, self._n_classes), None

    def fingerprint(self) -> str:
        """Hash of the estimator's class and fitted state.

        Raises
        ------
        ConfigurationError
            If the estimator holds something that cannot be hashed, such as a lambda.
        """
        try:
            return str(joblib.hash(self._estimator))
        except Exception as error:
            raise ConfigurationError(
                f"stage {self._name!r}: this {type(self._estimator).__name__} cannot be hashed ({error}); "
                f"give Stage(..., version=...) and change it whenever the model changes"
            ) from error

    def threads(self) -> int:
        """Threads of the largest BLAS or OpenMP pool."""
        return pool_threads()

    def limit_threads(self, n: int) -> AbstractContextManager[None]:
        """Context in which every BLAS and OpenMP pool uses ``n`` threads."""
        return limit_pool_threads(n)

    def _check_one_column_per_class(self) -> None:
        # With three classes the two shapes look alike, so the parameter is asked, not the output.
        shape = getattr(_deciding(self._estimator), "decision_function_shape", None)
        if shape == "ovo" and self._n_classes != 2:
            raise self._compares_pairs("decision_function_shape='ovo'")

    def _one_column_per_class(self, decision: NDArray[Any]) -> NDArray[Any]:
        decision = np.asarray(decision)
        if decision.ndim == 1:
            return np.stack((-0.5 * decision, 0.5 * decision), axis=1)
        c = self._n_classes
        if c is not None and decision.shape[1] != c and decision.shape[1] == c * (c - 1) // 2:
            raise self._compares_pairs(f"{decision.shape[1]} columns for {c} classes")
        return decision

    def _compares_pairs(self, came: str) -> ConfigurationError:
        return ConfigurationError(
            f"stage {self._name!r}: expected one decision value per class, but this {type(self._estimator).__name__} "
            f"compares classes one to one ({came}); fit it with decision_function_shape='ovr'"
        )


def _check_fitted(estimator: Any, name: str) -> None:
    if not isinstance(estimator, BaseEstimator):
        return
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ConfigurationError(
            f"stage {name!r}: expected a fitted estimator, got a {type(estimator).__name__} that is not fitted; "
            f"call fit before making the stage"
        ) from error


def _classes(estimator: Any, name: str, given: tuple[Hashable, ...] | None) -> tuple[Hashable, ...] | None:
    found = getattr(estimator, "classes_", None)
    several = isinstance(found, list) and any(isinstance(labels, np.ndarray) for labels in found)
    if several or getattr(_deciding(estimator), "multilabel_", False):
        raise ConfigurationError(
            f"stage {name!r}: expected a classifier with one label per item, but this {type(estimator).__name__} "
            f"predicts several outputs at once; make one stage per output"
        )
    if found is None:
        return given
    own = tuple(np.asarray(found).tolist())
    if given is not None and given != own:
        raise ConfigurationError(
            f"stage {name!r}: expected the estimator's own classes {own}, got classes={given}; "
            f"leave classes= out, or fit the estimator on the labels you want back"
        )
    return own


def _deciding(estimator: Any) -> Any:
    """The estimator that computes the decision values inside pipelines and searches."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def _method(estimator: Any, name: str, scores: str) -> Callable[[Any], Any]:
    method = getattr(estimator, _METHODS[scores], None)
    if method is None:
        raise ConfigurationError(
            f"stage {name!r}: scores={scores!r} needs {_METHODS[scores]}, "
            f"which this {type(estimator).__name__} does not have; leave scores= out"
        )
    return method  # type: ignore[no-any-return]  # estimators carry no types
