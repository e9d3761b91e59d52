"""The compiled kernels of fitting and certifying: derivatives of likelihoods, counts of moves, worst losses.

Leaf functions on plain arrays, each with a NumPy twin in the tests; knows no value of the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cascade.core.compiled import compiled


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
            said = features[i, members[a]]
            table, u, v = tables[a, int(said[0])], said[1], said[2]
            flat, by_u, by_v = table[0], table[1], table[2]
            for k in range(c):
                z[k] += flat[k] + u * by_u[k] + v * by_v[k]
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
            said = features[i, members[a]]
            table, u, v = grad_tables[a, int(said[0])], said[1], said[2]
            flat, by_u, by_v = table[0], table[1], table[2]
            for k in range(c):
                flat[k] += z[k]
            for k in range(c):
                by_u[k] += u * z[k]
            for k in range(c):
                by_v[k] += v * z[k]
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
def worst_losses(cells: Any, losses: Any, actions: Any, sets: Any, n_stages: int, worst: Any) -> None:
    """The largest loss over all sets at which each item may be answered.

    ``cells`` (n, 2**K) interval of confidence at every set, ``losses`` (n, 2**K), ``actions`` (L, 2**K, F) bit masks of
    what may be done, bit K for answering, each including those before it; ``sets`` by size; written: ``worst`` (n, L).
    """
    reached = np.zeros(losses.shape[1], np.bool_)
    for i in range(cells.shape[0]):
        for step in range(actions.shape[0]):
            if step > 0 and worst[i, step - 1] == 1:
                worst[i, step] = 1
                continue
            reached[:] = False
            reached[0] = True
            most = -2
            for s in sets:
                if not reached[s]:
                    continue
                may = actions[step, s, cells[i, s]]
                if may >> n_stages & 1 and losses[i, s] > most:
                    most = losses[i, s]
                for j in range(n_stages):
                    if may >> j & 1:
                        reached[s | 1 << j] = True
            worst[i, step] = most


@compiled
def failing_counts(levels: Any, gains: Any, n_levels: int, reached: Any, gained: Any) -> None:
    """For every combination of thresholds, how many items fail all of them, and their summed gain.

    ``levels`` (n, J) thresholds that each item reaches, of ``n_levels`` per stage in ascending order, so that it fails the
    one of index t exactly if its level is at most t; ``gains`` (n,); written: ``reached`` and ``gained`` (n_levels**J,).
    """
    n, n_stages = levels.shape
    reached[:] = 0
    gained[:] = 0
    for i in range(n):
        cell = 0
        for j in range(n_stages):
            if levels[i, j] >= n_levels:
                cell = -1
                break
            cell = cell * n_levels + levels[i, j]
        if cell >= 0:
            reached[cell] += 1
            gained[cell] += gains[i]
    stride = 1
    for _ in range(n_stages):
        block = stride * n_levels
        for start in range(0, reached.shape[0], block):
            for cell in range(start + stride, start + block):
                reached[cell] += reached[cell - stride]
                gained[cell] += gained[cell - stride]
        stride = block


@compiled
def stacked_curvature(features: Any, rows: Any, members: Any, tables: Any, bias: Any, blocks: Any) -> None:
    """Add the second derivatives of what `stacked_gradient` sums over ``rows`` to ``blocks`` (D, D, c (c + 1) / 2).

    Its inputs are the D = 3 s m + 1 leading entries of ``tables`` (s, m, 3, c), one after the other, and that of ``bias``.
    The block of two inputs, the first not before the second, is symmetric in the classes: its lower triangle, row by row.
    """
    s, n_labels, _, c = tables.shape
    z, weights = np.empty(c), np.empty(blocks.shape[2])
    at, value = np.empty(3 * s + 1, np.int64), np.empty(3 * s + 1)
    at[3 * s], value[3 * s] = 3 * s * n_labels, 1.0
    for i in rows:
        z[:] = bias
        for a in range(s):
            label = int(features[i, members[a], 0])
            for t in range(3):
                factor = 1.0 if t == 0 else float(features[i, members[a], t])
                at[3 * a + t], value[3 * a + t] = 3 * (a * n_labels + label) + t, factor
                for k in range(c):
                    z[k] += factor * tables[a, label, t, k]
        top = z.max()
        total = 0.0
        for k in range(c):
            z[k] = math.exp(z[k] - top)
            total += z[k]
        place = 0
        for k in range(c):
            for other in range(k + 1):
                weights[place] = -z[k] * z[other] / (total * total)
                place += 1
            weights[place - 1] += z[k] / total
        for d in range(3 * s + 1):
            for e in range(d + 1):
                both = value[d] * value[e]
                block = blocks[at[d], at[e]]
                for place in range(weights.shape[0]):
                    block[place] += both * weights[place]
