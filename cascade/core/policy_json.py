"""A policy as JSON and back: readable lists for small arrays, base64 for the transition tables.

Pure. No pickle: labels are strings, numbers, booleans, None and tuples of these.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Hashable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core.evidence import EvidenceModel
from cascade.core.induction import Statistics
from cascade.core.inputs import InputSpec
from cascade.core.service import ServiceTable
from cascade.errors import CascadeError, ConfigurationError, CorruptPolicy

FORMAT = "cascade.Policy/1"
_DTYPES = ("float64", "float32")


def policy_to_dict(policy: Any) -> dict[str, Any]:
    """Every fitted field of a policy as JSON values."""
    evidence, statistics, inputs = policy.evidence, policy.statistics, policy.inputs
    return {
        "format": FORMAT,
        "stages": list(policy.stages),
        "classes": [_label_to_json(label) for label in policy.classes],
        "requires": list(policy.requires),
        "chain": None if policy.chain is None else list(policy.chain),
        "level": policy.level,
        "cost_weight": policy.cost_weight,
        "drop": policy.drop,
        "audit": _array_to_json(policy.audit),
        "fingerprints": None if policy.fingerprints is None else list(policy.fingerprints),
        "inputs": None if inputs is None else {"shape": inputs.shape and list(inputs.shape), "dtype": inputs.dtype},
        "n_items": policy.n_items,
        "service": policy.service.to_dict(),
        "evidence": None if evidence is None else _record_to_json(evidence),
        "statistics": None if statistics is None else _record_to_json(statistics),
    }


def policy_from_dict(data: Any) -> dict[str, Any]:
    """The arguments of the policy that the JSON values describe.

    Raises
    ------
    CorruptPolicy
        If an entry is missing or damaged, or the format is another one.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise CorruptPolicy(f"expected a policy of format {FORMAT!r}, got {found!r}: save it again with this version")
    try:
        return _arguments(data)
    except (CascadeError, KeyError, TypeError, ValueError, IndexError, binascii.Error) as error:
        raise CorruptPolicy(
            f"expected a complete policy, got a damaged one ({type(error).__name__}: {error})"
        ) from error


def _arguments(data: dict[str, Any]) -> dict[str, Any]:
    stages, requires = tuple(data["stages"]), tuple(int(j) for j in data["requires"])
    evidence = None if data["evidence"] is None else EvidenceModel(**_record_from_json(EvidenceModel, data["evidence"]))
    statistics = None if data["statistics"] is None else Statistics(**_record_from_json(Statistics, data["statistics"]))
    _check_shapes(len(stages), len(data["classes"]), evidence, statistics)
    return {
        "stages": stages,
        "classes": tuple(_label_from_json(label) for label in data["classes"]),
        "service": ServiceTable.from_dict(data["service"]),
        "evidence": evidence,
        "statistics": statistics,
        "requires": requires,
        "chain": None if data["chain"] is None else tuple(float(value) for value in data["chain"]),
        "level": float(data["level"]),
        "cost_weight": float(data["cost_weight"]),
        "drop": float(data["drop"]),
        "audit": _array_from_json(data["audit"]),
        "fingerprints": None if data["fingerprints"] is None else tuple(data["fingerprints"]),
        "inputs": None if data["inputs"] is None else _inputs_from_json(data["inputs"]),
        "n_items": int(data["n_items"]),
    }


def _check_shapes(k: int, c: int, evidence: EvidenceModel | None, statistics: Statistics | None) -> None:
    if evidence is not None and (evidence.weights.shape != (1 << k, k) or evidence.bias.shape != (1 << k, c)):
        raise ValueError(f"pooling weights {evidence.weights.shape} do not fit {k} stages and {c} classes")
    if statistics is not None:
        n_sets, n_bins = statistics.accuracy.shape
        if n_sets != 1 << k or statistics.transitions.shape != (n_sets, k, n_bins, n_bins):
            raise ValueError(f"transitions {statistics.transitions.shape} do not fit {k} stages")


def _inputs_from_json(data: Any) -> InputSpec:
    return InputSpec(None if data["shape"] is None else tuple(int(side) for side in data["shape"]), data["dtype"])


def _record_to_json(record: Any) -> dict[str, Any]:
    return {field.name: _value_to_json(getattr(record, field.name)) for field in fields(record)}


def _record_from_json(kind: Any, data: dict[str, Any]) -> dict[str, Any]:
    return {field.name: _value_from_json(data[field.name]) for field in fields(kind)}


def _value_to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _array_to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _value_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return _array_from_json(value)
    return tuple(value) if isinstance(value, list) else value


def _array_to_json(array: Any) -> dict[str, Any]:
    packed = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "base64": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def _array_from_json(data: Any) -> Any:
    if data["dtype"] not in _DTYPES:
        raise ValueError(f"an array of dtype {data['dtype']!r}")
    packed = np.frombuffer(base64.b64decode(data["base64"], validate=True), np.dtype(data["dtype"]).newbyteorder("<"))
    array = packed.astype(data["dtype"]).reshape(data["shape"])
    if not np.isfinite(array).all():
        raise ValueError("an array that is not finite")
    return array


def _label_to_json(label: Hashable) -> Any:
    if label is None or isinstance(label, (str, bool, int, float)):
        return label
    if isinstance(label, tuple):
        return {"tuple": [_label_to_json(part) for part in label]}
    raise ConfigurationError(
        f"expected labels of str, int, float, bool, None or tuples of these in a saved policy, got {label!r} "
        f"({type(label).__name__}): map the labels before fitting"
    )


def _label_from_json(data: Any) -> Hashable:
    return tuple(_label_from_json(part) for part in data["tuple"]) if isinstance(data, dict) else data


def read_json(path: str | Path) -> Any:
    """The JSON values in a file.

    Raises
    ------
    CorruptPolicy
        If it cannot be read as JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptPolicy(f"expected a policy saved as JSON at {path}: {error}") from error
