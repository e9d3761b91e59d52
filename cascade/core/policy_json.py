"""A policy as JSON and back: readable lists for small arrays, base64 for the transition tables.

Pure. No pickle: labels are strings, numbers, booleans, None and tuples of these.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core.evidence import EvidenceModel
from cascade.core.guarantee import Guarantee
from cascade.core.induction import Statistics
from cascade.core.inputs import InputSpec
from cascade.core.policy_checks import check_policy
from cascade.core.row_marks import RowMarks
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
        "rows": None if policy.rows is None else policy.rows.to_dict(),
        "guarantee": None if policy.guarantee is None else policy.guarantee.to_dict(),
        "service": policy.service.to_dict(),
        "evidence": None if evidence is None else _record_to_json(evidence),
        "statistics": None if statistics is None else _record_to_json(statistics),
    }


def policy_from_dict(data: Any) -> dict[str, Any]:
    """The arguments of the policy that the JSON values describe.

    Raises
    ------
    CorruptPolicy
        If an entry is missing or damaged, if entries contradict each other, or if the format is another one.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise CorruptPolicy(f"expected a policy of format {FORMAT!r}, got {found!r}: save it again with this version")
    try:
        arguments = _arguments(data)
        check_policy(arguments)
    except KeyError as error:
        raise CorruptPolicy(
            f"expected a complete policy, got one without the entry {error}: copy the file again"
        ) from error
    except (CascadeError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise CorruptPolicy(
            f"expected a complete policy, got a damaged one: {error}; copy the file again, or fit the policy again"
        ) from error
    return arguments


def _arguments(data: dict[str, Any]) -> dict[str, Any]:
    evidence, statistics, chain = data["evidence"], data["statistics"], data["chain"]
    fingerprints, inputs = data["fingerprints"], data["inputs"]
    rows, guarantee = data["rows"], data["guarantee"]
    return {
        "stages": tuple(data["stages"]),
        "classes": tuple(_label_from_json(label) for label in data["classes"]),
        "service": ServiceTable.from_dict(data["service"]),
        "evidence": None if evidence is None else EvidenceModel(**_record_from_json(EvidenceModel, evidence)),
        "statistics": None if statistics is None else Statistics(**_record_from_json(Statistics, statistics)),
        "requires": tuple(int(j) for j in data["requires"]),
        "chain": None if chain is None else tuple(float(value) for value in chain),
        "level": float(data["level"]),
        "cost_weight": float(data["cost_weight"]),
        "drop": float(data["drop"]),
        "audit": _array_from_json(data["audit"]),
        "fingerprints": None if fingerprints is None else tuple(fingerprints),
        "inputs": None if inputs is None else _inputs_from_json(inputs),
        "n_items": int(data["n_items"]),
        "rows": None if rows is None else RowMarks.from_dict(rows),
        "guarantee": None if guarantee is None else Guarantee.from_dict(guarantee),
    }


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
        raise ValueError(f"expected arrays of {' or '.join(_DTYPES)}, got {data['dtype']!r}")
    packed = np.frombuffer(base64.b64decode(data["base64"], validate=True), np.dtype(data["dtype"]).newbyteorder("<"))
    array = packed.astype(data["dtype"]).reshape(data["shape"])
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers, got an array of shape {array.shape} with others")
    return array


def _label_to_json(label: Hashable) -> Any:
    if isinstance(label, np.generic):
        label = label.item()
    if label is None or isinstance(label, (str, int)) or (isinstance(label, float) and isfinite(label)):
        return label
    if isinstance(label, tuple):
        return {"tuple": [_label_to_json(part) for part in label]}
    raise ConfigurationError(
        f"expected labels of str, int, finite float, bool, None or tuples of these in a saved policy, got {label!r} "
        f"({type(label).__name__}): map the labels before fitting"
    )


def _label_from_json(data: Any) -> Hashable:
    return tuple(_label_from_json(part) for part in data["tuple"]) if isinstance(data, dict) else data


def read_policy(path: str | Path) -> dict[str, Any]:
    """The arguments of the policy in a JSON file.

    Raises
    ------
    CorruptPolicy
        If the file cannot be read as one; the message names it.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptPolicy(f"expected a policy saved as JSON at {path}: {error}") from error
    try:
        return policy_from_dict(data)
    except CorruptPolicy as error:
        raise CorruptPolicy(f"in {path}: {error}") from error
