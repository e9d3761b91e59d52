"""Whether the parts of a policy that was read from a file fit together.

Pure. A file may have been cut, edited or mixed from two; whatever passes here can be solved and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from cascade.core.alignment import check_service
from cascade.core.chain import checked_thresholds
from cascade.core.evidence import EvidenceModel
from cascade.core.induction import Statistics


def check_policy(arguments: Mapping[str, Any]) -> None:
    """Raise unless the arguments of a policy agree with each other.

    Raises
    ------
    ValueError
        With what contradicts what.
    """
    stages, classes, requires = arguments["stages"], arguments["classes"], arguments["requires"]
    k, c = len(stages), len(classes)
    _claim(k > 0 and all(isinstance(name, str) for name in stages), f"stage names {stages}")
    _claim(len(set(classes)) == c, f"classes that repeat: {classes}")
    _claim(
        len(requires) == k and all(-1 <= before < j for j, before in enumerate(requires)),
        f"predecessors {requires} of {k} stages",
    )
    check_service(stages, arguments["service"], arguments["level"])
    for name in ("cost_weight", "drop"):
        _claim(isfinite(arguments[name]) and arguments[name] >= 0.0, f"{name} {arguments[name]}")
    marks, audit = arguments["fingerprints"], arguments["audit"]
    _claim(marks is None or (len(marks) == k and all(isinstance(mark, str) for mark in marks)), f"fingerprints {marks}")
    _claim(audit.ndim == 2 and len(audit) == 2 and bool((np.diff(audit, axis=1) >= 0.0).all()), "an audit out of order")
    _claim(arguments["n_items"] >= 0, f"{arguments['n_items']} labelled items")
    if arguments["evidence"] is not None:
        _check_evidence(arguments["evidence"], k, c)
    if arguments["chain"] is not None:
        _claim(arguments["statistics"] is None, "both a chain and statistics")
        checked_thresholds(arguments["chain"], k)
        return
    _claim(arguments["statistics"] is not None and arguments["evidence"] is not None, "neither a chain nor statistics")
    _check_statistics(arguments["statistics"], requires)


def _check_evidence(evidence: EvidenceModel, k: int, c: int) -> None:
    n_sets = 1 << k
    wanted = {"floors": (k,), "weights": (n_sets, k), "bias": (n_sets, c), "recal": (n_sets, 2)}
    for name, shape in wanted.items():
        _check_shape(f"evidence.{name}", getattr(evidence, name), shape)
    if evidence.form == "loglinear":
        _claim(evidence.tables is None, "log-linear pooling with tables")
        return
    _claim(evidence.form == "stacked" and evidence.tables is not None, f"pooling of the form {evidence.form!r}")
    tables = np.asarray(evidence.tables)
    _claim(tables.ndim == 5, f"evidence.tables of shape {tables.shape}")
    _check_shape("evidence.tables", tables, (n_sets, k, tables.shape[2], 3, c))


def _check_statistics(statistics: Statistics, requires: tuple[int, ...]) -> None:
    n_sets, k = 1 << len(requires), len(requires)
    _claim(tuple(statistics.requires) == requires, f"predecessors {requires} and {statistics.requires} at once")
    _claim(statistics.accuracy.ndim == 2, f"statistics.accuracy of shape {statistics.accuracy.shape}")
    n_bins = statistics.accuracy.shape[1]
    _claim(n_bins >= 2, f"{n_bins} bins")
    _check_shape("statistics.accuracy", statistics.accuracy, (n_sets, n_bins))
    _check_shape("statistics.edges", statistics.edges, (n_sets, n_bins - 1))
    _check_shape("statistics.transitions", statistics.transitions, (n_sets, k, n_bins, n_bins))
    _claim(bool((np.diff(statistics.edges, axis=1) >= 0.0).all()), "edges of bins that fall")


def _check_shape(name: str, array: Any, wanted: tuple[int, ...]) -> None:
    _claim(
        isinstance(array, np.ndarray) and array.shape == wanted,
        f"{name} of shape {getattr(array, 'shape', array)} where {wanted} fits the stages and classes",
    )


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
