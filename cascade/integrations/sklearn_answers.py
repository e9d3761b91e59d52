"""Answers of fitted scikit-learn estimators under a policy: a `Predictor` that raises what an estimator raises.

Decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from cascade.core.policy import Policy
from cascade.core.rows import n_rows, take_rows
from cascade.core.service import ServiceTable
from cascade.errors import StageOutputError
from cascade.predictor import Predictor
from cascade.profiling.profile import profile_brief
from cascade.runtime.answers import BatchPrediction
from cascade.stages.sklearn import SklearnRunner
from cascade.stages.stage import Stage

_N_SAMPLE = 64


class Answering:
    """What answers for a fitted classifier; the predictors hold locks, so they stay behind when it is pickled or copied.

    Parameters
    ----------
    estimators : dict
        Fitted ones, by name.
    policy : Policy
    table : ServiceTable or None
        For answers under a budget; None: measured when the first is asked for.
    """

    def __init__(self, estimators: dict[str, Any], policy: Policy, table: ServiceTable | None) -> None:
        self._fields = (estimators, policy, table)
        self._predictors: dict[bool, Predictor] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._fields

    def answers(self, X: Any, budget_ms: float | None) -> BatchPrediction:
        """The answers to n rows; raises what an estimator raised."""
        with _unwrapped():
            return self._predictor(X, budget_ms is not None).predict_batch(X, budget_ms=budget_ms)

    def _predictor(self, X: Any, has_deadline: bool) -> Predictor:
        if has_deadline not in self._predictors:
            estimators, policy, table = self._fields
            self._predictors[has_deadline] = Predictor(
                _stages(estimators),
                policy,
                table if has_deadline else policy.service,
                threads="leave",
                check_finite=False,
                sample=_sample(X) if has_deadline else None,
            )
        return self._predictors[has_deadline]


class _Escaped(BaseException):
    """An estimator's error on its way past the lane, which would catch an `Exception` and let other stages answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _FrankRunner(SklearnRunner):
    """Lets the caller see what an estimator raises: wrong inputs are the usual reason, and every estimator's matter."""

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        try:
            scores, _ = super().run(batch, carry)
            if not np.isfinite(scores).all():
                raise StageOutputError(f"estimator {self._name!r}: expected finite scores, got NaN or infinity")
        except Exception as error:
            raise _Escaped(error) from error
        return scores, None


@contextmanager
def _unwrapped() -> Iterator[None]:
    try:
        yield
    except _Escaped as escaped:
        raise escaped.error from escaped.error.__cause__


def _stages(estimators: Mapping[str, Any]) -> list[Stage]:
    return [
        Stage.from_runner(_FrankRunner(estimator, name=name, scores=None, classes=None), name=name)
        for name, estimator in estimators.items()
    ]


def measured_table(estimators: Mapping[str, Any], X: Any, seed: int) -> ServiceTable:
    """How long fitted estimators take on some of the rows of X; raises what an estimator raises."""
    with _unwrapped():
        return profile_brief(_stages(estimators), _sample(X), threads="leave", seed=seed)


def _sample(X: Any) -> Any:
    return take_rows(X, np.arange(min(n_rows(X), _N_SAMPLE)))
