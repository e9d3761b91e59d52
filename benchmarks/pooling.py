"""Is what several models said together worth more than the best of them, and which way of pooling is best?

For each set, 200, 1000 and 5000 items fit (fewer where the set is smaller, at most half of it) and the other half serves, five times;
all figures are held out. Made-up ladders have 20,000 items that serve and two models, plain or spoiled: the weak one useless, a copy of
the strong one, confidently wrong on 30 % of the items, or labels drawn at random for 20 % of the items; each as class scores and as label
and confidence only.

best         the member that is most accurate on the items that serve, its temperature fitted: known afterwards only
last         the dearest member, its temperature fitted
equal        log-probabilities at fitted temperatures, equal weights
cascade      what `fit_evidence` chooses: a form for the set of models, and for each subset whether it pools at all
multinomial  regression on all log-probabilities, ridge by cross-validation (class scores only)
stacked      regression on labels and their confidences, always (label and confidence only)
spread       confidence spread over the labels, then weights and biases, always (label and confidence only)

Cells: accuracy in % / mean log-loss. "all" pools all models, "pairs" is the mean over all pairs. cascade - best: points of accuracy with
two standard errors over the seeds; for pairs, that of the pair where the difference lies lowest beyond its noise. A cell is WORSE where
the difference is below minus two standard errors, which are a little too small where the halves of different seeds overlap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from baselines.multinomial import multinomial_regression
from harness.datasets import Ladder, ladders
from harness.report import arguments, data_folder, on_one_thread, print_table, write

from cascade.calibration.evidence import MAX_STACKED_LABELS, assign_folds, fit_evidence
from cascade.calibration.pooling import LoglinearFitter, clipped, fit_floors
from cascade.calibration.stacking import StackedFitter
from cascade.core.evidence import EvidenceModel, features_of, members_of
from cascade.core.outcomes import Outcomes

N_SEEDS, N_FOLDS, SIZES, N_SERVED = 5, 5, (200, 1000, 5000), 20_000
OURS, BEST = "cascade", "best"
FROM_SCORES = (BEST, "last", "equal", OURS, "multinomial")
FROM_LABELS = (BEST, "last", "equal", OURS, "stacked", "spread")
SPOILED = ("plain", "useless", "copy", "confidently wrong", "hopeless items")

Scored = dict[str, tuple[float, float]]
"""Accuracy and log-loss on the items that serve, by way of pooling; members under "0", "1", ..."""


@dataclass(frozen=True, slots=True)
class Task:
    """One set of data: for a size and a seed, the outcomes that fit and those that serve."""

    name: str
    costs: np.ndarray
    outcomes: Outcomes | None
    kind: str = ""
    labels_only: bool = False

    def sizes(self) -> list[int]:
        """Numbers of items to fit on."""
        half = SIZES[-1] if self.outcomes is None else self.outcomes.n_items // 2
        return sorted({min(size, half) for size in SIZES})

    def split(self, n: int, seed: int) -> tuple[Outcomes, Outcomes]:
        """What fits and what serves."""
        if self.outcomes is None:
            made = made_up(n + N_SERVED, seed, self.kind, self.labels_only)
            return made.take(np.arange(n)), made.take(np.arange(n, n + N_SERVED))
        order = np.random.default_rng(seed).permutation(self.outcomes.n_items)
        half = len(order) // 2
        return self.outcomes.take(order[:n]), self.outcomes.take(order[half:])


def tasks(found: Iterator[Ladder]) -> Iterator[Task]:
    """The recorded ladders, then those made up."""
    for ladder in found:
        yield Task(ladder.name, ladder.costs, ladder.outcomes)
    for labels_only in (False, True):
        for kind in SPOILED:
            name = f"made up, {kind}, {'labels' if labels_only else 'scores'}"
            yield Task(name, np.array([1.0, 8.0]), None, kind, labels_only)


def made_up(n: int, seed: int, kind: str, labels_only: bool) -> Outcomes:
    """A weak and a strong model on ten classes, one of them spoiled."""
    rng = np.random.default_rng(seed)
    labels, hardness = rng.integers(0, 10, n), rng.normal(size=n)
    logits = rng.normal(size=(n, 2, 10))
    logits[np.arange(n), :, labels] += np.array([2.2, 3.0]) + hardness[:, None]
    if kind == "useless":
        logits[:, 0] = rng.normal(size=(n, 10))
    elif kind == "copy":
        logits[:, 0] = logits[:, 1]
    elif kind == "confidently wrong":
        wrong = rng.random(n) < 0.3
        logits[wrong, 0] = 12.0 * np.eye(10)[rng.integers(0, 10, int(wrong.sum()))]
    elif kind == "hopeless items":
        labels = np.where(rng.random(n) < 0.2, rng.integers(0, 10, n), labels)
    probs = softmax(logits)
    if labels_only:
        return Outcomes.from_predictions(probs.argmax(axis=2), probs.max(axis=2), labels)
    return Outcomes.from_probs(probs, labels)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


class Tempered:
    """Members at their own fitted temperature, alone and with equal weights, and with fitted weights whether they pay or not."""

    def __init__(self, train: Outcomes, test: Outcomes) -> None:
        seen = features_of(train, "loglinear")
        highest = 0.0 if train.n_stages > 1 else -np.log(len(train.classes))
        floors, self._slopes = fit_floors(seen, train.labels, highest)
        folds = np.random.default_rng(0).permutation(train.n_items) % N_FOLDS
        self._fitter = LoglinearFitter(clipped(seen, floors), train.labels, folds, N_FOLDS, self._slopes)
        self._served = clipped(features_of(test, "loglinear"), floors).astype(np.float64)

    def equal(self, members: Sequence[int]) -> np.ndarray:
        """Class probabilities (n', c)."""
        rows = list(members)
        return softmax((self._served[:, rows] * self._slopes[rows, None]).mean(axis=1))

    def weighted(self, chosen: int) -> np.ndarray:
        """Class probabilities (n', c)."""
        fitted = self._fitter.fit(chosen)
        return softmax(np.tensordot(self._served[:, members_of(chosen)], fitted.weights, (1, 0)) + fitted.bias)


def stacked_always(train: Outcomes, test: Outcomes, chosen: Sequence[int]) -> dict[int, np.ndarray]:
    """Class probabilities (n', c) of every set of models, fitted as cascade fits them; nothing where there are too many labels."""
    k, c = train.n_stages, len(train.classes)
    if c > MAX_STACKED_LABELS:
        return {}
    # No fold is left out: what each set says on the items that serve is all that is asked.
    folds = np.zeros(train.n_items, np.int64)
    fitter = StackedFitter(features_of(train, "stacked"), train.labels, folds, 0, n_labels=c, n_classes=c)
    served, plain = features_of(test, "stacked"), np.tile([1.0, 0.0], (1 << k, 1))
    tables, bias = np.zeros((1 << k, k, c, 3, c)), np.zeros((1 << k, c))
    for s in sorted({*chosen, *(1 << j for j in range(k))}, key=lambda s: (s.bit_count(), s)):
        bias[s] = fitter.fit(s).bias
        tables[s, members_of(s)] = fitter.tables(s)
    model = EvidenceModel("stacked", np.zeros(k), np.zeros((1 << k, k)), bias, tables, plain)
    return {s: model.pool(served, s)[0] for s in chosen}


def scored(probs: np.ndarray, labels: np.ndarray, predicted: np.ndarray | None = None) -> tuple[float, float]:
    """Accuracy and mean log-loss."""
    said = probs.argmax(axis=1) if predicted is None else predicted
    loss = -np.log(np.maximum(probs[np.arange(len(labels)), labels], 1e-12))
    return float((said == labels).mean()), float(loss.mean())


def sets_of(k: int) -> list[int]:
    """All models, and every pair of them."""
    return [(1 << k) - 1, *(1 << i | 1 << j for i, j in combinations(range(k), 2) if k > 2)]


def one_split(train: Outcomes, test: Outcomes, costs: np.ndarray) -> tuple[str, dict[int, Scored]]:
    """The form that cascade chose, and every way of pooling on every set."""
    chosen, labels = sets_of(train.n_stages), test.labels
    evidence, _ = fit_evidence(train, assign_folds(train.labels, N_FOLDS, np.random.default_rng(0)))
    served, tempered = features_of(test, evidence.form), Tempered(train, test)
    members = [scored(tempered.equal([j]), labels, test.predicted[:, j]) for j in range(train.n_stages)]
    stacked = {} if train.log_probs is not None else stacked_always(train, test, chosen)
    result: dict[int, Scored] = {}
    for s in chosen:
        of_set = members_of(s).tolist()
        row: Scored = {str(j): members[j] for j in of_set}
        row["last"] = members[max(of_set, key=lambda j: (costs[j], j))]
        row["equal"] = scored(tempered.equal(of_set), labels)
        row[OURS] = scored(evidence.pool(served, s)[0], labels)
        if train.log_probs is not None and test.log_probs is not None:
            said = multinomial_regression(train.log_probs[:, of_set], train.labels, test.log_probs[:, of_set])
            row["multinomial"] = scored(said, labels)
        else:
            row["spread"] = scored(tempered.weighted(s), labels)
            row |= {"stacked": scored(stacked[s], labels)} if s in stacked else {}
        result[s] = row
    return evidence.form, result


def summed_up(seeds: Sequence[Scored]) -> dict[str, Any]:
    """Means over the seeds of one set of models, the best member, and the paired differences of cascade to everything."""
    values = {name: np.array([row[name] for row in seeds]) for name in seeds[0]}
    best = max((name for name in values if name.isdigit()), key=lambda name: float(values[name][:, 0].mean()))
    values = {BEST: values[best]} | {name: found for name, found in values.items() if not name.isdigit()}
    entry: dict[str, Any] = {name: [round(float(x), 4) for x in found.mean(axis=0)] for name, found in values.items()}
    entry["cascade_less"] = {name: _difference(values[OURS] - values[name]) for name in values if name != OURS}
    return entry


def _difference(paired: np.ndarray) -> list[float]:
    """Mean and two standard errors of the difference of accuracy, in points, then those of log-loss."""
    mean, noise = paired.mean(axis=0), 2.0 * paired.std(axis=0, ddof=1) / np.sqrt(len(paired))
    return [round(float(x), 4) for x in (100.0 * mean[0], 100.0 * noise[0], mean[1], noise[1])]


def measure(task: Task) -> list[dict[str, Any]]:
    """One entry for every size, ready for JSON."""
    entries = []
    for n in task.sizes():
        splits = [one_split(*task.split(n, seed), task.costs) for seed in range(N_SEEDS)]
        chosen = list(splits[0][1])
        sets = {s: summed_up([found[s] for _, found in splits]) for s in chosen}
        forms = [form for form, _ in splits]
        named = {"+".join(str(j) for j in members_of(s)): entry for s, entry in sets.items()}
        entries.append({"n_fit": n, "stacked": forms.count("stacked"), "sets": named})
    return entries


def rows_of(entry: dict[str, Any], columns: Sequence[str]) -> list[list[str]]:
    """All models, and the mean over the pairs, as cells of a table."""
    everything, *pairs = entry["sets"].values()
    rows = []
    for name, group in (("all", [everything]), ("pairs", pairs)):
        if group:
            means = [np.mean([found[c] for found in group], axis=0) if c in group[0] else None for c in columns]
            cells = ["-" if m is None else f"{100 * m[0]:.2f} / {m[1]:.3f}" for m in means]
            rows.append([name, str(entry["n_fit"]), *cells, *_against_best(group)])
    return rows


def _against_best(group: Sequence[dict[str, Any]]) -> list[str]:
    lowest = min((found["cascade_less"][BEST] for found in group), key=lambda d: d[0] + d[1])
    return [f"{lowest[0]:+.2f} ± {lowest[1]:.2f}", "WORSE" * is_worse(lowest)]


def is_worse(difference: Sequence[float]) -> bool:
    """Whether accuracy is lower by more than two standard errors."""
    return difference[0] + difference[1] < -1e-9


def brief(entry: dict[str, Any]) -> dict[str, Any]:
    """One size of one set for the file: of the pairs only how cascade stands to their best member."""
    everything, *_ = entry["sets"].values()
    pairs = {name: found["cascade_less"][BEST][:2] for name, found in entry["sets"].items() if name.count("+") == 1}
    return {"n_fit": entry["n_fit"], "stacked": entry["stacked"], "all": everything, "pairs_less_best": pairs}


def conclude(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Print and return where cascade falls behind the best member, and how it stands to every other way of pooling."""
    cells = [
        (f"{name}, {entry['n_fit']} items, {members}", pooled["cascade_less"])
        for name, entries in found.items()
        for entry in entries
        for members, pooled in entry["sets"].items()
    ]
    worse = [f"{cell} {less[BEST][0]:+.2f}" for cell, less in cells if is_worse(less[BEST])]
    print(f"\ncascade worse than the best member by more than two standard errors: {len(worse)} of {len(cells)} cells")
    print("\n".join(worse) if worse else "nowhere")
    rows, standing = [], {}
    for other in dict.fromkeys((*FROM_SCORES, *FROM_LABELS)):
        less = [differences[other] for _, differences in cells if other in differences]
        if less:
            d = np.array(less)
            better = int((d[:, 0] > d[:, 1]).sum()), int((d[:, 2] < -d[:, 3]).sum())
            behind = sum(map(is_worse, less)), int((d[:, 2] > d[:, 3]).sum())
            means, lowest, highest = d.mean(axis=0)[[0, 2]], d[:, 0].min(), d[:, 2].max()
            points = [f"{means[0]:+.2f}", f"{lowest:+.2f}", f"{better[0]} / {behind[0]}"]
            loss = [f"{means[1]:+.4f}", f"{highest:+.4f}", f"{better[1]} / {behind[1]}"]
            rows.append([other, str(len(less)), *points, *loss])
            mean = [round(float(x), 4) for x in means]
            standing[other] = {"cells": len(less), "mean": mean, "ahead": list(better), "behind": list(behind)}
    print("\ncascade less every other way of pooling, over all cells; ahead / behind: cells beyond two standard errors")
    print_table(["", "cells", "points", "lowest", "ahead / behind", "loss", "highest", "ahead / behind"], rows)
    return {"worse": worse, "n_cells": len(cells), "cascade_less": standing}


def main() -> None:
    options = arguments(__doc__)
    data, began = data_folder(options.data), time.perf_counter()
    print(f"held-out accuracy in % / log-loss, mean of {N_SEEDS} seeds; --help says what the columns are")
    found: dict[str, list[dict[str, Any]]] = {}
    for task in tasks(ladders(data)):
        started = time.perf_counter()
        entries = found[task.name] = measure(task)
        columns = FROM_SCORES if "multinomial" in next(iter(entries[0]["sets"].values())) else FROM_LABELS
        print(f"\n{task.name}, {time.perf_counter() - started:.0f} s")
        rows = [row for entry in entries for row in rows_of(entry, columns)]
        print_table(["models", "items", *columns, "cascade - best", ""], rows)
        if columns == FROM_LABELS:
            chosen = ", ".join(f"{entry['stacked']} of {N_SEEDS} at {entry['n_fit']}" for entry in entries)
            print(f"cascade chose the regression on labels: {chosen}")
    verdict = conclude(found)
    print(f"{time.perf_counter() - began:.0f} s")
    kept = {name: [brief(entry) for entry in entries] for name, entries in found.items()}
    write("pooling", {"n_seeds": N_SEEDS, "sets": kept, "verdict": verdict}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
