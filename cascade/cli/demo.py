"""``cascade demo``: train four models on digits, fit a policy, and show accuracy against latency on held-out images."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade.calibration.fit import fit_policy
from cascade.cli.budgets import largest_that_fits, telling_budgets
from cascade.cli.digits import Digits, split_digits
from cascade.cli.ladder_of_digits import Effort, measured_ladder
from cascade.cli.picture import draw_curve
from cascade.cli.race import Answer, Measured, race
from cascade.cli.report import Report
from cascade.cli.text import Phases
from cascade.clock import Clock, MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable
from cascade.explore.drawing import new_figure
from cascade.predictor import Predictor
from cascade.stages.backends import limit_all_threads
from cascade.stages.stage import Stage

Image = NDArray[np.float32]


def run(options: Namespace) -> None:
    """Print and save what the demo finds out.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    OSError
        If the folder cannot be written.
    """
    report = demonstrate(options.out, seed=options.seed)
    print(json.dumps(report.to_dict(), indent=1) if options.json else f"\n{report}\n\nWritten to {options.out}/")


def demonstrate(folder: Path, *, seed: int, effort: Effort | None = None, cell_ms: float = 500.0) -> Report:
    """Train, measure, fit, answer and draw; one thread throughout.

    Parameters
    ----------
    folder : Path
        Gets ``curve.png``, ``results.json``, ``policy.json`` and ``service.json``; made if it is not there.
    seed : int
    effort : Effort, optional
        How much the networks are trained.
    cell_ms : float
        Milliseconds spent on measuring each model.
    """
    # Whatever could be missing is asked for before the work, not after it.
    new_figure()
    folder.mkdir(parents=True, exist_ok=True)
    clock = MonotonicClock()
    phases = Phases(clock)
    data = split_digits(seed)
    known = data.calibration
    with limit_all_threads(1):
        stages, service = measured_ladder(data, phases, seed=seed, effort=effort, cell_ms=cell_ms)
        with phases.timed("fitting"):
            policy = fit_policy(Outcomes.record(stages, known.images, known.labels), service, seed=seed)
        with Predictor(stages, policy, service=service) as predictor:
            with phases.timed("answering"):
                budgets, singles = _answered(predictor, stages, service, data, clock)
            explained_ms = telling_budgets(service)[-1]
            explanation = predictor.explain(budget_ms=explained_ms)
        with phases.timed("drawing"):
            draw_curve([rows[0] for rows in budgets], singles, folder / "curve.png")
    report = Report(seed, data.sizes(), service, budgets, singles, explained_ms, explanation, phases.seconds)
    (folder / "results.json").write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    policy.save(folder / "policy.json")
    service.save(folder / "service.json")
    return report


def _answered(
    predictor: Predictor, stages: Sequence[Stage], service: ServiceTable, data: Digits, clock: Clock
) -> tuple[list[list[Measured]], list[Measured]]:
    """Every held-out image under every budget, by the cascade and by single models beside it; and the singles alone."""
    alone = {stage.name: _by_one(stage) for stage in stages}
    smallest = stages[largest_that_fits(service, 0.0)].name

    def raced(contestants: dict[str, Answer], budget_ms: float | None) -> list[Measured]:
        contestants = {"cascade": _by_cascade(predictor, budget_ms), **contestants}
        return race(
            contestants,
            list(data.held_out.images),
            data.held_out.labels.tolist(),
            budget_ms=budget_ms,
            warm_up=list(data.calibration.images),
            clock=clock,
        )

    budgets = []
    for budget_ms in telling_budgets(service):
        largest = stages[largest_that_fits(service, budget_ms)].name
        budgets.append(raced({_largest(largest): alone[largest], _smallest(smallest): alone[smallest]}, budget_ms))
    cascade, *singles = raced(alone, None)
    by_name = {row.contestant: row for row in singles}
    largest = stages[largest_that_fits(service, None)].name
    named = {_largest(largest): by_name[largest], _smallest(smallest): by_name[smallest]}
    budgets.append([cascade, *(replace(row, contestant=name) for name, row in named.items())])
    return budgets, singles


def _largest(name: str) -> str:
    return f"largest that fits: {name}"


def _smallest(name: str) -> str:
    return f"always smallest: {name}"


def _by_cascade(predictor: Predictor, budget_ms: float | None) -> Answer:
    def answer(image: Image) -> tuple[Hashable, tuple[str, ...]]:
        prediction = predictor.predict(image, budget_ms=budget_ms)
        return prediction.label, prediction.path

    return answer


def _by_one(stage: Stage) -> Answer:
    """A model alone, with nothing around it: the column of the largest score is the digit."""
    path = (stage.name,)

    def answer(image: Image) -> tuple[Hashable, tuple[str, ...]]:
        scores, _ = stage.run(image[None])
        return int(scores[0].argmax()), path

    return answer
