"""The compiled kernels of evidence: encode what a stage said, pool, recalibrate.

Leaf functions on plain arrays, each with a NumPy twin in the tests; knows no value of the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cascade.core.compiled import compiled, compiled_brief

LOG_FLOOR = math.log(1e-12)
"""Smallest log-probability kept: zero probabilities would rule a class out for good."""

_EDGE = 1e-12


@compiled
def encode_logits(scores: Any, out: Any) -> bool:
    """Log-softmax of each row of ``scores`` (n, c) into ``out`` (n, c); False if a score is NaN or +inf."""
    n, c = scores.shape
    for i in range(n):
        top = -np.inf
        for k in range(c):
            if not scores[i, k] < np.inf:
                return False
            top = max(top, float(scores[i, k]))
        if top == -np.inf:
            return False
        total = 0.0
        for k in range(c):
            total += math.exp(scores[i, k] - top)
        shift = top + math.log(total)
        for k in range(c):
            out[i, k] = max(scores[i, k] - shift, LOG_FLOOR)
    return True


@compiled
def encode_probs(scores: Any, out: Any) -> bool:
    """Logarithm of each entry's share of its row of ``scores`` (n, c) into ``out`` (n, c).

    False if an entry is negative or not finite, or if a row has no positive finite sum.
    """
    n, c = scores.shape
    for i in range(n):
        total = 0.0
        for k in range(c):
            if not scores[i, k] >= 0.0:
                return False
            total += float(scores[i, k])
        if not (total > 0.0 and total < np.inf):
            return False
        for k in range(c):
            share = scores[i, k] / total
            out[i, k] = math.log(share) if share > _EDGE else LOG_FLOOR
    return True


@compiled
def recalibrate(top: float, slope: float, shift: float) -> float:
    """Confidence in [0, 1] from a top probability: a logistic curve on its log-odds."""
    if slope == 1.0 and shift == 0.0:
        return top
    top = min(max(top, _EDGE), 1.0 - _EDGE)
    return 1.0 / (1.0 + math.exp(-slope * math.log(top / (1.0 - top)) - shift))


@compiled
def _softmax(row: Any) -> float:
    """Turn one row of scores into probabilities in place; the largest of them."""
    top = -np.inf
    for k in range(row.shape[0]):
        top = max(top, row[k])
    total = 0.0
    for k in range(row.shape[0]):
        row[k] = math.exp(row[k] - top)
        total += row[k]
    for k in range(row.shape[0]):
        row[k] /= total
    return 1.0 / total


@compiled
def _add_stage(total: Any, log_probs: Any, weight: float, floor: float) -> None:
    """Add one stage's share of a log-linear pool to ``total`` (c,)."""
    for k in range(total.shape[0]):
        total[k] += weight * max(float(log_probs[k]), floor)


@compiled
def pool_loglinear(
    features: Any, members: Any, floors: Any, weights: Any, bias: Any, recal: Any, probs: Any, confidence: Any
) -> None:
    """Pooled probabilities and confidence of each row.

    ``features`` (n, K, c) log-probabilities, ``members`` the stages of the set, ``floors`` (K,),
    ``weights`` (K,), ``bias`` (c,), ``recal`` (2,); written: ``probs`` (n, c), ``confidence`` (n,).
    """
    n, _, c = features.shape
    for i in range(n):
        for k in range(c):
            probs[i, k] = bias[k]
        for j in members:
            _add_stage(probs[i], features[i, j], weights[j], floors[j])
        confidence[i] = recalibrate(_softmax(probs[i]), recal[0], recal[1])


@compiled
def pool_stacked(features: Any, members: Any, tables: Any, bias: Any, recal: Any, probs: Any, confidence: Any) -> None:
    """Multinomial logistic regression on one-hot label times (1, u, v) of each stage in the set.

    ``features`` (n, K, 3) predicted label and two functions u, v of its confidence, ``tables``
    (K, m, 3, c), ``bias`` (c,), ``recal`` (2,); written: ``probs`` (n, c), ``confidence`` (n,).
    """
    n = features.shape[0]
    c = bias.shape[0]
    for i in range(n):
        for k in range(c):
            probs[i, k] = bias[k]
        for j in members:
            label, u, v = int(features[i, j, 0]), float(features[i, j, 1]), float(features[i, j, 2])
            if label >= tables.shape[1]:
                # A label never met in fitting says nothing.
                continue
            for k in range(c):
                probs[i, k] += tables[j, label, 0, k] + u * tables[j, label, 1, k] + v * tables[j, label, 2, k]
        confidence[i] = recalibrate(_softmax(probs[i]), recal[0], recal[1])


@compiled
def _first_maximum(row: Any) -> int:
    """Column of the first largest entry."""
    best = 0
    for k in range(1, row.shape[0]):
        if row[k] > row[best]:
            best = k
    return best


@compiled_brief
def pool_state(n_stages: int, after: int, params: Any, state: Any) -> float:
    """Pool what the stages of the set ``after`` have said, as it stands in ``state``; the confidence that follows.

    ``params`` and ``state`` as for `absorb_scores`.
    """
    c = params.shape[0] - 2 * n_stages - 2
    probs = state[n_stages * c : -1]
    for k in range(c):
        probs[k] = params[2 * n_stages + k]
    for j in range(n_stages):
        if after >> j & 1:
            _add_stage(probs, state[j * c : (j + 1) * c], params[n_stages + j], params[j])
    top = _softmax(probs)
    state[-1] = _first_maximum(probs)
    return recalibrate(top, params[-2], params[-1])


@compiled_brief
def absorb_scores(scores: Any, as_logits: bool, slot: int, after: int, params: Any, state: Any) -> float:
    """Read one item's scores (1, c) of the stage ``slot``; the confidence that follows, or -1 if they are not usable.

    ``after`` the set of stages run, this one included; ``params`` (2 K + c + 2,) its floors, weights, bias and
    recalibration; ``state`` (K c + c + 1,) what the stages said, then, written here, pooled probabilities and top class.
    """
    c = scores.shape[1]
    own = state[slot * c : (slot + 1) * c].reshape(1, c)
    if not (encode_logits(scores, own) if as_logits else encode_probs(scores, own)):
        return -1.0
    for k in range(c):
        # Recorded outcomes are kept in single precision, and a replay must pool the same numbers.
        own[0, k] = np.float32(own[0, k])
    return pool_state((params.shape[0] - c - 2) // 2, after, params, state)


@compiled
def all_finite(flat: Any) -> bool:
    """True if every entry of a one-dimensional float array is finite."""
    zero, are_finite = flat.dtype.type(0), True
    for i in range(flat.shape[0]):
        # Zero times a finite number is zero; times NaN or infinity it is NaN. Of the array's own type, and without a branch, eight or more
        # are done at once: a sum of the same products, each of which waits for the one before, takes 4 to 20 times as long.
        are_finite &= flat[i] * zero == zero
    return are_finite


@compiled_brief
def item_is_finite(flat: Any) -> bool:
    """The same, for the entries of one item."""
    return bool(all_finite(flat))
