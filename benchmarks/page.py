"""How large is the interactive page, how soon can it be used, and how fast does it follow a slider?

Headless Chromium, a fresh profile for every load, from a file: from the request for the page to its sliders working, as the caller
of the browser sees it: median, a 95 % interval of it that holds for any distribution, and the worst load, which is the machine's rather
than the page's where other work shares its cores. Then one slider moved over all its places: from the event to the next painted
frame, which comes every 16.7 ms at most. "Eight stages" is made up, with noise as colour pictures, which no compression makes smaller: as
large as pages get. Without Chromium or playwright only sizes are measured. Bars: 2 MB; 1 s, the upper end of the interval.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from harness.browser import CHROMIUMS, QUIET, chromium
from harness.datasets import Ladder, cifar10, digits
from harness.report import arguments, data_folder, on_one_thread, print_table, write
from scipy.stats import binom

from cascade.calibration.fit import fit_policy
from cascade.calibration.frontier import frontier
from cascade.core.outcomes import Outcomes
from cascade.core.service import ServiceTable

BAR_BYTES, BAR_MS = 2_000_000, 1000.0
N_LOADS = 15
STEPS = """async () => {
  const slider = document.getElementById("budget"), took = [];
  for (let place = 0; place <= Number(slider.max); place += 1) {
    const began = performance.now();
    slider.value = String(place);
    slider.dispatchEvent(new Event("input"));
    await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted, 0)));
    took.push(performance.now() - began);
  }
  return took;
}"""


def pages(data: Path | None, folder: Path) -> Iterator[tuple[str, Path, float]]:
    """Name, file, and seconds to write it, of every page; the policy is fitted on one half, the page shows the other."""
    ladders = [digits(), *([cifar10(data)] if data is not None else []), eight_stages()]
    for ladder in ladders:
        order = np.random.default_rng(0).permutation(ladder.outcomes.n_items)
        half = len(order) // 2
        known, fresh = ladder.outcomes.take(order[:half]), ladder.outcomes.take(order[half:])
        service = ServiceTable.from_costs(ladder.costs, stages=ladder.outcomes.stages)
        policy, curve = fit_policy(known, service), frontier(known, service, max_step=0.02)
        path = folder / "explore.html"
        if ladder.name == "digits":
            curve.to_html(path)
            yield "digits, the curve alone", path, 0.0
        assert ladder.images is not None
        began = time.perf_counter()
        curve.to_html(path, policy=policy, outcomes=fresh, inputs=ladder.images[order[half:]])
        yield f"{ladder.name}, {fresh.n_items:,} items", path, time.perf_counter() - began


def eight_stages(n: int = 3000) -> Ladder:
    """Eight made-up models of rising accuracy and doubling cost, on pictures that are noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    logits = rng.normal(size=(n, 8, 10))
    logits[np.arange(n), :, labels] += np.linspace(1.2, 3.5, 8) + rng.normal(size=(n, 1))
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    names = [f"network of depth {8 * (j + 1)}" for j in range(8)]
    outcomes = Outcomes.from_probs(probs, labels, stages=names)
    return Ladder("eight stages", outcomes, 2.0 ** np.arange(8), "made up", rng.random((n, 64, 64, 3), np.float32))


def seen(path: Path, browser_path: str | None) -> dict[str, Any]:
    """What a reader waits for."""
    if browser_path is None:
        return {}
    from playwright.sync_api import sync_playwright

    loads, steps = [], []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=browser_path, args=list(QUIET))
        # The browser's own start is not the page's.
        browser.new_context().new_page().goto("about:blank")
        for _ in range(N_LOADS):
            context = browser.new_context()
            tab = context.new_page()
            began = time.perf_counter()
            tab.goto(path.as_uri(), wait_until="commit")
            tab.wait_for_selector("html[data-ready=true]")
            loads.append(1e3 * (time.perf_counter() - began))
            steps = tab.evaluate(STEPS)
            context.close()
        browser.close()
    loads.sort()
    outside = max(int(binom.ppf(0.025, N_LOADS, 0.5)) - 1, 0)
    return {
        "interactive_ms": round(float(np.median(loads)), 1),
        "interval_ms": [round(loads[outside], 1), round(loads[-1 - outside], 1)],
        "worst_ms": round(max(loads), 1),
        "step_ms": round(float(np.median(steps)), 1),
        "worst_step_ms": round(max(steps), 1),
    }


def line(name: str, found: dict[str, Any], timed: tuple[str, ...]) -> list[str]:
    """A row of the table; a dash for what was not measured."""
    interval = "{:.0f} to {:.0f}".format(*found["interval_ms"]) if "interval_ms" in found else "-"
    cells = [
        name,
        f"{found['bytes'] / 1e3:.0f}",
        f"{found['write_s']:.2f}",
        f"{found.get('interactive_ms', '-')}",
        interval,
    ]
    return [*cells, *(f"{found.get(key, '-')}" for key in timed)]


def main() -> None:
    options = arguments(__doc__)
    browser = chromium()
    if browser is None:
        print(f"sizes only: no Chromium among {', '.join(CHROMIUMS)}")
    results = {}
    with TemporaryDirectory() as folder:
        for name, path, write_s in pages(data_folder(options.data), Path(folder)):
            results[name] = {"bytes": path.stat().st_size, "write_s": round(write_s, 2), **seen(path, browser)}
    header = [
        "page",
        "KB",
        "written in s",
        "interactive ms",
        "95 % interval",
        "worst load",
        "slider step ms",
        "worst step",
    ]
    timed = ("worst_ms", "step_ms", "worst_step_ms")
    print_table(header, [line(name, found, timed) for name, found in results.items()])
    largest = max(r["bytes"] for r in results.values())
    print(f"\nlargest: {largest / 1e6:.2f} MB. Bar of 2 MB: {'met' if largest <= BAR_BYTES else 'NOT MET'}")
    if chromium is not None:
        slowest = max(r["interval_ms"][1] for r in results.values())
        print(f"interactive: at most {slowest:.0f} ms. Bar of 1000 ms: {'met' if slowest <= BAR_MS else 'NOT MET'}")
    write("page", {"bar_bytes": BAR_BYTES, "bar_ms": BAR_MS, "n_loads": N_LOADS, "pages": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
