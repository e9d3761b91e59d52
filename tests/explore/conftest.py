"""A ladder of three models on made-up items, small enough to fit in a moment."""

from __future__ import annotations

import os

# Pictures go nowhere: there is no screen.
os.environ.setdefault("MPLBACKEND", "Agg")

from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.harness.browser import CHROMIUMS, QUIET, chromium
from cascade.calibration.fit import fit_policy
from cascade.calibration.frontier import frontier
from cascade.core.frontier import Frontier
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable

STAGES = ("small", "middle", "big")


@dataclass(frozen=True)
class Ladder:
    known: Outcomes
    fresh: Outcomes
    service: ServiceTable
    policy: Policy
    curve: Frontier


@pytest.fixture(scope="session")
def ladder():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1000)
    logits = rng.normal(size=(1000, 3, 4))
    logits[np.arange(1000), :, labels] += np.array([1.0, 2.0, 3.2]) + rng.normal(size=(1000, 1))
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels, stages=STAGES)
    known, fresh = outcomes.take(np.arange(600)), outcomes.take(np.arange(600, 1000))
    service = ServiceTable.from_costs([1.0, 4.0, 16.0], stages=STAGES)
    curve = frontier(known, service, n_bootstrap=100, max_step=0.1, progress=False)
    return Ladder(known, fresh, service, fit_policy(known, service), curve)


@pytest.fixture
def _closed_pictures():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


# No longer than a module: meanwhile an event loop runs on this thread, so that tests of coroutines could not.
@pytest.fixture(scope="module")
def browser():
    """The system's Chromium without a screen."""
    found = chromium()
    if found is None:
        pytest.skip(f"no Chromium is installed that starts: looked for {', '.join(CHROMIUMS)}")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()
