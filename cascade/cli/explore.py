"""``cascade explore``: a page on which budget, load and accuracy can be dragged, of saved files or of the demo's digits."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from cascade.calibration.fit import fit_policy
from cascade.calibration.frontier import frontier
from cascade.cli.digits import split_digits
from cascade.cli.ladder_of_digits import Effort, measured_ladder
from cascade.cli.profile import load_inputs
from cascade.cli.text import Phases
from cascade.clock import MonotonicClock
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError
from cascade.stages.backends import limit_all_threads


def run(options: Namespace) -> None:
    """Write the page.

    Raises
    ------
    ConfigurationError
        If some of the files are missing that go together, or the service times are of other stages.
    CorruptPolicy
        If the policy cannot be read.
    DataError
        If outcomes or inputs cannot be read, or are not of the same items.
    PolicyMismatch
        If policy and outcomes are of other stages.
    """
    files = {name: getattr(options, name) for name in ("policy", "outcomes", "service", "inputs")}
    given = [f"--{name}" for name, path in files.items() if path is not None]
    if given and not {"--policy", "--outcomes"} <= set(given):
        raise ConfigurationError(
            f"expected --policy and --outcomes together, got {', '.join(given)}: add the other, or give neither for the "
            "demo's handwritten digits"
        )
    if given:
        explore_files(options.out, seed=options.seed, **files)
    else:
        explore_digits(options.out, seed=options.seed)
    n_bytes = options.out.stat().st_size
    if options.json:
        print(json.dumps({"out": str(options.out), "n_bytes": n_bytes}))
        return
    print(f"wrote {options.out}, {n_bytes / 1024:.0f} KiB: open it in a browser")


def explore_files(
    out: Path, *, policy: Path, outcomes: Path, service: Path | None, inputs: Path | None, seed: int
) -> None:
    """Write the page of a saved policy, replayed over saved outcomes."""
    fitted, items = Policy.load(policy), Outcomes.load(outcomes)
    if service is not None:
        fitted = fitted.retime(ServiceTable.load(service))
    shown = None if inputs is None else load_inputs(inputs)
    curve = frontier(items, fitted.service, cost_weight=fitted.cost_weight, level=fitted.level, seed=seed)
    curve.to_html(out, policy=fitted, outcomes=items, inputs=shown)


def explore_digits(out: Path, *, seed: int, effort: Effort | None = None, cell_ms: float = 500.0) -> None:
    """Train the demo's models, measure them, and write the page of what a policy does on held-out images.

    Parameters
    ----------
    out : Path
    seed : int
    effort : Effort, optional
        How much the networks are trained.
    cell_ms : float
        Milliseconds spent on measuring each model.
    """
    phases, data = Phases(MonotonicClock()), split_digits(seed)
    known, fresh = data.calibration, data.held_out
    with limit_all_threads(1):
        stages, service = measured_ladder(data, phases, seed=seed, effort=effort, cell_ms=cell_ms)
        with phases.timed("fitting"):
            fitted = Outcomes.record(stages, known.images, known.labels)
            policy = fit_policy(fitted, service, seed=seed)
            curve = frontier(fitted, service, seed=seed)
        with phases.timed("writing"):
            held_out = Outcomes.record(stages, fresh.images, fresh.labels)
            curve.to_html(
                out,
                policy=policy,
                outcomes=held_out,
                inputs=fresh.images,
                title="Handwritten digits: what a latency budget buys",
            )
