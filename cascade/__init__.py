"""Adaptive inference under a latency budget.

The public names live in the modules that define them and are loaded on first use, so that
``import cascade`` costs next to nothing and loads neither torch, numba, scipy nor scikit-learn.
Nothing inside the package imports this module.

Examples
--------
>>> import cascade
>>> issubclass(cascade.BudgetTooSmall, TimeoutError)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cascade.core.page_writer import PageWriter, hand_in

if TYPE_CHECKING:
    from cascade.caching.result_cache import ResultCache
    from cascade.caching.similarity import SimilarityCache
    from cascade.caching.stats import CacheStats
    from cascade.calibration.fit import fit_policy
    from cascade.calibration.frontier import frontier
    from cascade.calibration.label_shift import label_shift
    from cascade.calibration.reliability import reliability
    from cascade.calibration.risk import control_risk
    from cascade.calibration.similarity import SimilarityThreshold, control_similarity, neighbour_pairs
    from cascade.calibration.threshold_grid import threshold_grid
    from cascade.calibration.update import Update, update_policy
    from cascade.core.certificate import Certificate
    from cascade.core.frontier import Frontier
    from cascade.core.outcomes import Outcomes
    from cascade.core.policy import Policy
    from cascade.core.records import Prediction, StageOutput, Status
    from cascade.core.replay import Replay
    from cascade.core.service import ServiceTable
    from cascade.errors import (
        BudgetTooSmall,
        CacheKeyError,
        CascadeError,
        CascadeWarning,
        ConfigurationError,
        CorruptPolicy,
        DataError,
        EmptyBatch,
        Expired,
        ForeignServiceWarning,
        ForkedPredictor,
        GuaranteeLostWarning,
        InputMismatch,
        LabelMismatch,
        LabelShiftWarning,
        MissingExtra,
        NotCertifiable,
        NotFinite,
        NotPicklable,
        OverloadError,
        PolicyMismatch,
        PredictorClosed,
        Regression,
        Rejected,
        ReusedData,
        Shed,
        SmallSampleWarning,
        StageError,
        StageOutputError,
        Unavailable,
        UnknownRequest,
        WeakConfidenceWarning,
    )
    from cascade.integrations.opentelemetry import instrument
    from cascade.integrations.prometheus import PrometheusCollector
    from cascade.predictor import Predictor
    from cascade.profiling.profile import profile
    from cascade.scheduling.messages import Priority
    from cascade.simulation.clients import ClosedLoop
    from cascade.simulation.report import Report
    from cascade.simulation.service_times import SlowDown
    from cascade.simulation.simulate import simulate
    from cascade.simulation.tuning import tune_serving
    from cascade.simulation.workloads import Workload
    from cascade.stages.multi_exit import multi_exit
    from cascade.stages.stage import Stage
    from cascade.telemetry.drift import DriftReport
    from cascade.telemetry.durations import Distribution
    from cascade.telemetry.health import Check, Health, HealthLimits
    from cascade.telemetry.json_lines import JsonLines
    from cascade.telemetry.requests import RequestRecord, StageRun
    from cascade.telemetry.stats import Stats

__version__ = "0.1.0"

__all__ = [
    "BudgetTooSmall",
    "CacheKeyError",
    "CacheStats",
    "CascadeError",
    "CascadeWarning",
    "Certificate",
    "Check",
    "ClosedLoop",
    "ConfigurationError",
    "CorruptPolicy",
    "DataError",
    "Distribution",
    "DriftReport",
    "EmptyBatch",
    "Expired",
    "ForeignServiceWarning",
    "ForkedPredictor",
    "Frontier",
    "GuaranteeLostWarning",
    "Health",
    "HealthLimits",
    "InputMismatch",
    "JsonLines",
    "LabelMismatch",
    "LabelShiftWarning",
    "MissingExtra",
    "NotCertifiable",
    "NotFinite",
    "NotPicklable",
    "Outcomes",
    "OverloadError",
    "Policy",
    "PolicyMismatch",
    "Prediction",
    "Predictor",
    "PredictorClosed",
    "Priority",
    "PrometheusCollector",
    "Regression",
    "Rejected",
    "Replay",
    "Report",
    "RequestRecord",
    "ResultCache",
    "ReusedData",
    "ServiceTable",
    "Shed",
    "SimilarityCache",
    "SimilarityThreshold",
    "SlowDown",
    "SmallSampleWarning",
    "Stage",
    "StageError",
    "StageOutput",
    "StageOutputError",
    "StageRun",
    "Stats",
    "Status",
    "Unavailable",
    "UnknownRequest",
    "Update",
    "WeakConfidenceWarning",
    "Workload",
    "control_risk",
    "control_similarity",
    "fit_policy",
    "frontier",
    "instrument",
    "label_shift",
    "multi_exit",
    "neighbour_pairs",
    "profile",
    "reliability",
    "simulate",
    "threshold_grid",
    "tune_serving",
    "update_policy",
]

_HOMES = {
    "CacheStats": "cascade.caching.stats",
    "Certificate": "cascade.core.certificate",
    "Check": "cascade.telemetry.health",
    "ClosedLoop": "cascade.simulation.clients",
    "Distribution": "cascade.telemetry.durations",
    "DriftReport": "cascade.telemetry.drift",
    "Frontier": "cascade.core.frontier",
    "Health": "cascade.telemetry.health",
    "HealthLimits": "cascade.telemetry.health",
    "JsonLines": "cascade.telemetry.json_lines",
    "Outcomes": "cascade.core.outcomes",
    "Policy": "cascade.core.policy",
    "Prediction": "cascade.core.records",
    "Predictor": "cascade.predictor",
    "Priority": "cascade.scheduling.messages",
    "PrometheusCollector": "cascade.integrations.prometheus",
    "Replay": "cascade.core.replay",
    "Report": "cascade.simulation.report",
    "RequestRecord": "cascade.telemetry.requests",
    "ResultCache": "cascade.caching.result_cache",
    "ServiceTable": "cascade.core.service",
    "SimilarityCache": "cascade.caching.similarity",
    "SimilarityThreshold": "cascade.calibration.similarity",
    "SlowDown": "cascade.simulation.service_times",
    "Stage": "cascade.stages.stage",
    "StageOutput": "cascade.core.records",
    "StageRun": "cascade.telemetry.requests",
    "Stats": "cascade.telemetry.stats",
    "Status": "cascade.core.records",
    "Update": "cascade.calibration.update",
    "Workload": "cascade.simulation.workloads",
    "control_risk": "cascade.calibration.risk",
    "control_similarity": "cascade.calibration.similarity",
    "fit_policy": "cascade.calibration.fit",
    "frontier": "cascade.calibration.frontier",
    "instrument": "cascade.integrations.opentelemetry",
    "label_shift": "cascade.calibration.label_shift",
    "multi_exit": "cascade.stages.multi_exit",
    "neighbour_pairs": "cascade.calibration.similarity",
    "profile": "cascade.profiling.profile",
    "reliability": "cascade.calibration.reliability",
    "simulate": "cascade.simulation.simulate",
    "threshold_grid": "cascade.calibration.threshold_grid",
    "tune_serving": "cascade.simulation.tuning",
    "update_policy": "cascade.calibration.update",
}
# Modules that are public as a whole, so that ``cascade.errors`` works without an import of its own.
_MODULES = frozenset({"clock", "errors", "explore", "testing"})


def _page_writer() -> PageWriter:
    from cascade.explore.page import write_page

    return write_page


hand_in(_page_writer)


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it, once."""
    if name in _MODULES:
        return import_module(f"cascade.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'cascade' has no attribute {name!r}; its public names are in cascade.__all__")
    value: object = getattr(import_module(_HOMES.get(name, "cascade.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
