"""``cascade bench``: how fast a policy answers on a user's own stages, and whether that is worse than it was."""

from __future__ import annotations

import json
import sys
import warnings
from argparse import Namespace
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cascade.cli.bench_compare import Change, compared
from cascade.cli.bench_runs import BenchRun, measure
from cascade.cli.profile import load_inputs, load_stages
from cascade.cli.text import percent, short, text_table
from cascade.clock import MonotonicClock
from cascade.core.policy import Policy
from cascade.errors import ConfigurationError, DataError, ForeignServiceWarning, Regression
from cascade.predictor import Predictor
from cascade.profiling.stamp import current_stamp, stamp_mismatch


def run(options: Namespace) -> None:
    """Measure, save, and compare with a baseline.

    Raises
    ------
    Regression
        If a figure is worse than that of the baseline, beyond the tolerance and beyond chance.
    ConfigurationError
        If there is nothing to do with the figures, or the stages cannot be imported.
    DataError
        If a file cannot be read, or the baseline is of something else.
    """
    if options.out is None and options.compare is None:
        raise ConfigurationError("expected --out, to keep what is measured, or --compare, or both")
    baseline = None if options.compare is None else BenchRun.load(options.compare)
    with redirect_stdout(sys.stderr):
        now = _measured(options)
    if options.out is not None:
        now.save(options.out)
    changes: list[Change] = []
    if baseline is not None:
        _warn_of_another_machine(baseline, now)
        changes = compared(baseline, now, tolerance=options.tolerance, rng=np.random.default_rng(options.seed))
    print(_as_json(now, changes) if options.json else _as_text(now, changes, options.out))
    worse = [change for change in changes if change.is_worse]
    if worse:
        raise Regression(
            "; ".join(f"{change.figure} is worse than the baseline: {_in_words(change)}" for change in worse)
            + ": look at what changed since, or measure a new baseline if that is how it is to be"
        )


def _measured(options: Namespace) -> BenchRun:
    stages = load_stages(options.stages)
    policy, inputs = Policy.load(options.policy), load_inputs(options.data)
    labels = None if options.labels is None else _labels(options.labels, len(inputs))
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(options.rows, len(inputs))).round().astype(int))
    with Predictor(stages, policy, policy.service, sample=inputs) as predictor:
        return measure(
            predictor,
            inputs[rows],
            None if labels is None else labels[rows].tolist(),
            budget_ms=options.budget_ms,
            n_rounds=options.rounds,
            clock=MonotonicClock(),
            stamp=current_stamp(stages, 1),
        )


def _labels(path: Path, n: int) -> np.ndarray[Any, Any]:
    labels = load_inputs(path)
    if labels.shape != (n,):
        raise DataError(
            f"expected one label for each of the {n} inputs at {path}, got an array of shape {labels.shape}"
        )
    return labels


def _warn_of_another_machine(baseline: BenchRun, now: BenchRun) -> None:
    differences = stamp_mismatch(baseline.stamp, now.stamp)
    if differences:
        warnings.warn(
            f"the baseline was measured elsewhere ({'; '.join(differences)}), which alone can make a difference: measure it here",
            ForeignServiceWarning,
            stacklevel=2,
        )


def _as_json(now: BenchRun, changes: list[Change]) -> str:
    return json.dumps({**_figures(now), "changes": [asdict(change) for change in changes]}, indent=1)


def _figures(now: BenchRun) -> dict[str, Any]:
    n_rounds, n_rows = now.latency_ms.shape
    return {
        "n_rows": n_rows,
        "n_rounds": n_rounds,
        "p50_ms": float(np.quantile(now.latency_ms, 0.5)),
        "p95_ms": float(np.quantile(now.latency_ms, 0.95)),
        "in_time": float(now.in_time.mean()),
        "accuracy": None if now.correct is None else float(now.correct.mean()),
        "yardstick_ms": float(np.median(now.yardstick_ms)),
    }


def _as_text(now: BenchRun, changes: list[Change], saved: Path | None) -> str:
    found = _figures(now)
    lines = [
        f"{found['n_rows']} rows in {found['n_rounds']} rounds: half within {short(found['p50_ms'])} ms, 95 of 100 within "
        f"{short(found['p95_ms'])} ms, {percent(found['in_time'])} in time"
        + ("" if found["accuracy"] is None else f", {percent(found['accuracy'])} right")
    ]
    if changes:
        rows = [
            [change.figure, _figure(change, change.before), _figure(change, change.now), *_interval_in_words(change)]
            for change in changes
        ]
        header = ["figure", "before", "now", "change", "between", "borne", ""]
        lines += ["", text_table(header, rows, right=frozenset({1, 2, 3, 4, 5}))]
        lines += ["", "times are multiples of a fixed piece of work, measured beside them"]
    if saved is not None:
        lines += ["", f"saved {saved}"]
    return "\n".join(lines)


def _figure(change: Change, value: float) -> str:
    return short(value) if change.limit > 0.0 else percent(value)


def _interval_in_words(change: Change) -> list[str]:
    verdict = "WORSE" if change.is_worse else "ok"
    between = f"{change.low:+.1%} to {change.high:+.1%}"
    return [f"{change.change:+.1%}", between, f"{change.limit:+.1%}", verdict]


def _in_words(change: Change) -> str:
    return f"{change.change:+.1%}, at best {change.low if change.limit > 0.0 else change.high:+.1%}, of {change.limit:+.1%} borne"
