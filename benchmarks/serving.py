"""How accurate are answers in time under load, beside published rules for serving the same ladder of models?

In virtual time: four residual networks on CIFAR-10 with their measured service times, on one lane. Half of the items tune every
contender, the other half is asked for. A cell is one combination of

SLO      15, 50 or 200 ms for every request, or a third of the requests each ("mixed")
traffic  Poisson; bursty (gamma, coefficient of variation 4); MMPP (half the rate for 1 s, twice the rate for 0.5 s, on average); the Azure trace,
         a part of it compressed to the rate
load     arrival rate over what the largest network can carry in batches of 32
spikes   with 5 % jitter alone, or also with 0.5 % of the batches taking twice as long

Effective accuracy counts late and missing answers as wrong, over all requests that were offered. Every contender meets the same
requests and the same noise. The best rule of a cell is picked where it is measured; the difference to it is paired over the
seeds, with its 95 % interval: a cell is ahead or behind where the interval does not contain zero.

largest, smallest   one model, Clockwork's batches, early drop of what would be late even alone
switching           the most accurate model that keeps up with the measured arrival rate (INFaaS)
slackfit            the model and batch with the most right answers that fit the slack of the most urgent request (SuperServe)
static              chains of fixed thresholds at three operating points
gears               a chain for each range of arrival rates, planned by simulation for the SLO (CascadeServe)
pooled ...          the same on the pooled evidence of all models that ran, which is cascade's own
..., Nexus drop     the same with Nexus' early drop: heads that force small batches go, if enough wait for a large one
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np
from harness.report import data_folder, on_one_thread, parser_of, write
from harness.resnet_service import resnet_service
from harness.serving_cells import SLOS, Cell, all_cells, capacity_rps, few_cells
from harness.serving_contenders import Contender, Prepared, contenders, prepared, served
from harness.serving_standing import FIGURES, HEADER, as_rows, cells_of, standing, summary

N_SEEDS, N_QUICK_SEEDS = 10, 2


class Kitchen:
    """What workers share: made before they are forked, so that nothing is made twice or sent anywhere."""

    ready: Prepared
    contenders: dict[str, dict[str, Contender]]


def measured(task: tuple[Cell, int]) -> np.ndarray:
    """Every contender in one cell with one seed: the `FIGURES` of each, shape (contenders, figures)."""
    cell, seed = task
    reports = [served(Kitchen.ready, contender, cell, seed) for contender in Kitchen.contenders[cell.slo].values()]
    return np.array([[getattr(report, figure) for figure in FIGURES] for report in reports])


def standings(cells: Sequence[Cell], n_seeds: int, n_jobs: int) -> Iterator[dict[str, Any]]:
    """How cascade stands in each cell, one after the other."""
    tasks = list(product(cells, range(n_seeds)))
    with get_context("fork").Pool(n_jobs) as pool:
        done = pool.imap(measured, tasks, chunksize=1)
        for cell in cells:
            figures = np.stack([next(done) for _ in range(n_seeds)], axis=1)
            yield standing(cell, dict(zip(Kitchen.contenders[cell.slo], figures, strict=True)))


def contenders_of(slo: str) -> dict[str, Contender]:
    """Those of one SLO; a function of its own because plans take seconds, so that workers make them."""
    return contenders(Kitchen.ready, slo)


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{N_QUICK_SEEDS} seeds and 24 of the cells, in about a minute"
    )
    parser.add_argument("--seeds", type=int, help=f"how many seeds (default: {N_SEEDS})")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes (default: 2)")
    parser.add_argument("--profile", action="store_true", help="measure the service times of the networks again")
    return parser.parse_args()


def main() -> None:
    asked = options()
    data = data_folder(asked.data)
    if data is None:
        print("the folder of the benchmark data is not here (--data, or the variable CASCADE_DATA): nothing to serve")
        return
    cells = few_cells() if asked.quick else all_cells()
    n_seeds = asked.seeds or (N_QUICK_SEEDS if asked.quick else N_SEEDS)
    began = time.perf_counter()
    Kitchen.ready = prepared(data, resnet_service(data, again=asked.profile))
    slos = [slo for slo in SLOS if any(cell.slo == slo for cell in cells)]
    with get_context("fork").Pool(asked.jobs) as pool:
        Kitchen.contenders = dict(zip(slos, pool.map(contenders_of, slos, chunksize=1), strict=True))
    print(f"load 1 is {capacity_rps(Kitchen.ready.service):.0f} requests a second; {n_seeds} seeds; --help explains")
    print(HEADER, flush=True)
    found = []
    for entry in standings(cells, n_seeds, asked.jobs):
        print(cells_of(entry), flush=True)
        found.append(entry)
    told = summary(found)
    print(f"\n{len(cells)} cells in {time.perf_counter() - began:.0f} s")
    if not asked.quick:
        write("serving", {"n_seeds": n_seeds, "summary": told, **as_rows(found)}, asked.out)


if __name__ == "__main__":
    on_one_thread()
    main()
