"""Out-of-fold probabilities of scikit-learn estimators, so that one training set serves for models and policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import Parallel, delayed

from cascade.core.records import FloatArray, IntArray
from cascade.core.rows import take_rows
from cascade.errors import ConfigurationError
from cascade.stages.stage import Stage

_Split = tuple[IntArray, IntArray]


def fitted_clones(estimators: Mapping[str, Any], X: Any, labels: NDArray[Any], n_jobs: int | None) -> dict[str, Any]:
    """Clones of the estimators, fitted on all rows, by name."""
    fitted = Parallel(n_jobs=n_jobs)(delayed(_fitted)(each, X, labels) for each in estimators.values())
    return dict(zip(estimators, fitted, strict=True))


def held_out_probs(
    estimators: Mapping[str, Any], X: Any, labels: NDArray[Any], *, cv: Any, n_jobs: int | None
) -> FloatArray:
    """What clones of K estimators say about rows that they were not fitted on.

    Parameters
    ----------
    estimators : mapping
        By name.
    X : n rows
    labels : ndarray, shape (n,)
        Of c classes; column j of the result belongs to the j-th of them in sorted order.
    cv : int, splitter, iterable of splits or None
        As in `sklearn.model_selection.check_cv`.
    n_jobs : int or None

    Returns
    -------
    ndarray, shape (n, K, c)
        A class that is missing from a fold's training rows has probability 0 in that fold.

    Raises
    ------
    ConfigurationError
        If some row is not held out exactly once.
    """
    splits = _splits(cv, X, labels)
    folds = Parallel(n_jobs=n_jobs)(
        delayed(_probs_of_fold)(name, each, X, labels, split) for name, each in estimators.items() for split in splits
    )
    probs = np.empty((len(labels), len(estimators), len(np.unique(labels))))
    for at, said in enumerate(folds):
        k, fold = divmod(at, len(splits))
        probs[splits[fold][1], k] = said
    return probs


def _splits(cv: Any, X: Any, labels: NDArray[Any]) -> list[_Split]:
    """Training and held-out rows of each fold."""
    folds = check_cv(cv, labels, classifier=True).split(X, labels)
    splits = [(np.asarray(train), np.asarray(test)) for train, test in folds]
    held_out = np.sort(np.concatenate([test for _, test in splits]))
    if not np.array_equal(held_out, np.arange(len(labels))):
        raise ConfigurationError(f"expected cv to hold every row out exactly once, got {cv!r}: use a k-fold splitter")
    return splits


def _probs_of_fold(name: str, estimator: Any, X: Any, labels: NDArray[Any], split: _Split) -> FloatArray:
    """Probabilities of the held-out rows of one fold, shape (m, c)."""
    train, test = split
    classes, known = np.unique(labels).tolist(), np.unique(labels[train]).tolist()
    probs = np.zeros((len(test), len(classes)))
    if len(known) == 1:
        # Few classifiers can be fitted on one class, and there is one thing to say.
        probs[:, classes.index(known[0])] = 1.0
        return probs
    stage = Stage(_fitted(estimator, take_rows(X, train), labels[train]), name=name)
    scores, _ = stage.run(take_rows(X, test))
    columns = [classes.index(label) for label in stage.classes or known]
    probs[:, columns] = scores if stage.scores == "probs" else softmax(scores, axis=1)
    return probs


def _fitted(estimator: Any, X: Any, labels: NDArray[Any]) -> Any:
    return clone(estimator).fit(X, labels)
