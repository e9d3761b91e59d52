"""The compiled kernels: leaf functions on plain arrays, each with a NumPy twin in the tests.

May import numba; knows no value of the package. Compiled code is cached on disk where a cache
directory can be written, and compiled afresh in memory where none can.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

LOG_FLOOR = math.log(1e-12)
"""Smallest log-probability kept: zero probabilities would rule a class out for good."""

_EDGE = 1e-12
_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """The function compiled by numba, cached on disk if a cache directory is writable."""
    try:
        return cast("_F", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # numba raises when neither __pycache__ nor the user's cache directory can be written.
        return cast("_F", numba.njit(nogil=True)(function))


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


@compiled
def absorb_scores(scores: Any, as_logits: bool, slot: int, after: int, params: Any, state: Any) -> float:
    """Read one item's scores (1, c) of the stage ``slot``; the confidence that follows, or -1 if they are not usable.

    ``after`` the set of stages run, this one included; ``params`` (2 K + c + 2,) its floors, weights, bias and
    recalibration; ``state`` (K c + c + 1,) what the stages said, then, written here, pooled probabilities and top class.
    """
    c = scores.shape[1]
    n_stages = (params.shape[0] - c - 2) // 2
    own = state[slot * c : (slot + 1) * c].reshape(1, c)
    if not (encode_logits(scores, own) if as_logits else encode_probs(scores, own)):
        return -1.0
    probs = state[n_stages * c : -1]
    for k in range(c):
        # Recorded outcomes are kept in single precision, and a replay must pool the same numbers.
        own[0, k] = np.float32(own[0, k])
        probs[k] = params[2 * n_stages + k]
    for j in range(n_stages):
        if after >> j & 1:
            _add_stage(probs, state[j * c : (j + 1) * c], params[n_stages + j], params[j])
    top = _softmax(probs)
    state[-1] = _first_maximum(probs)
    return recalibrate(top, params[-2], params[-1])


@compiled
def loglinear_moments(
    features: Any, labels: Any, members: Any, weights: Any, bias: Any, folds: Any, nll: Any, gradient: Any, hessian: Any
) -> None:
    """Negative log-likelihood of log-linear pooling with its derivatives, summed per fold.

    ``features`` (n, K, c), ``labels`` (n,), ``members`` (s,), ``weights`` (s,), ``bias`` (c,) or (0,) for
    none, ``folds`` (n,); added to: ``nll`` (F,), ``gradient`` (F, p), ``hessian`` (F, p, p) with
    p = s, plus c if there is a bias.
    """
    n, _, c = features.shape
    s = members.shape[0]
    with_bias = bias.shape[0] > 0
    z = np.empty(c)
    mean = np.empty(s)
    for i in range(n):
        f, y = folds[i], labels[i]
        for k in range(c):
            z[k] = bias[k] if with_bias else 0.0
        for a in range(s):
            for k in range(c):
                z[k] += weights[a] * features[i, members[a], k]
        top = z.max()
        total = 0.0
        own = z[y]
        for k in range(c):
            z[k] = math.exp(z[k] - top)
            total += z[k]
        nll[f] += math.log(total) + top - own
        for a in range(s):
            mean[a] = 0.0
            for k in range(c):
                mean[a] += z[k] * features[i, members[a], k]
            mean[a] /= total
            gradient[f, a] += mean[a] - features[i, members[a], y]
        for a in range(s):
            for b in range(a + 1):
                second = 0.0
                for k in range(c):
                    second += z[k] * features[i, members[a], k] * features[i, members[b], k]
                hessian[f, a, b] += second / total - mean[a] * mean[b]
        if with_bias:
            for k in range(c):
                p = z[k] / total
                gradient[f, s + k] += p
                hessian[f, s + k, s + k] += p
                for a in range(s):
                    hessian[f, s + k, a] += p * (features[i, members[a], k] - mean[a])
                for b in range(k + 1):
                    hessian[f, s + k, s + b] -= p * z[b] / total
            gradient[f, s + y] -= 1.0


@compiled
def stacked_gradient(
    features: Any, labels: Any, rows: Any, members: Any, tables: Any, bias: Any, grad_tables: Any, grad_bias: Any
) -> float:
    """Summed negative log-likelihood of `pool_stacked` over ``rows``; adds its gradient to the last two arrays."""
    c = bias.shape[0]
    z = np.empty(c)
    loss = 0.0
    for i in rows:
        y = labels[i]
        for k in range(c):
            z[k] = bias[k]
        for a in range(members.shape[0]):
            label, u, v = int(features[i, members[a], 0]), features[i, members[a], 1], features[i, members[a], 2]
            for k in range(c):
                z[k] += tables[a, label, 0, k] + u * tables[a, label, 1, k] + v * tables[a, label, 2, k]
        top = z.max()
        own = z[y]
        total = 0.0
        for k in range(c):
            z[k] = math.exp(z[k] - top)
            total += z[k]
        loss += math.log(total) + top - own
        for k in range(c):
            z[k] /= total
        z[y] -= 1.0
        for k in range(c):
            grad_bias[k] += z[k]
        for a in range(members.shape[0]):
            label, u, v = int(features[i, members[a], 0]), features[i, members[a], 1], features[i, members[a], 2]
            for k in range(c):
                grad_tables[a, label, 0, k] += z[k]
                grad_tables[a, label, 1, k] += u * z[k]
                grad_tables[a, label, 2, k] += v * z[k]
    return loss


@compiled
def joint_counts(before: Any, after: Any, counts: Any) -> None:
    """Add one to ``counts[before[i], after[i]]`` for every item i."""
    for i in range(before.shape[0]):
        counts[before[i], after[i]] += 1.0


@compiled
def blur_moves(counts: Any, width: float, out: Any) -> None:
    """Add to ``out`` (B, B) the counts of moves between bins, blurred over equal moves from bin to bin.

    A move from b to b' also counts, with Gaussian weight of the shift, as the move from b + shift to b' + shift; moves
    beyond the last bin end there. Blurring whole moves adds no spread to where a move ends.
    """
    n_bins = counts.shape[0]
    reach = int(3.0 * width) + 1
    for shift in range(-reach, reach + 1):
        weight = math.exp(-0.5 * (shift / width) ** 2)
        for b in range(max(0, -shift), min(n_bins, n_bins - shift)):
            for k in range(n_bins):
                if counts[b, k] > 0.0:
                    out[b + shift, min(max(k + shift, 0), n_bins - 1)] += weight * counts[b, k]


@compiled
def all_finite(flat: Any) -> bool:
    """True if every entry of a one-dimensional float array is finite."""
    total = 0.0
    for i in range(flat.shape[0]):
        # zero times a finite number is zero; times NaN or infinity it is NaN.
        total += flat[i] * 0.0
    return total == 0.0
