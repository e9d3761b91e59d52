"""How much labelled data does a cascade need, beside what published rules make of the same items?

Every rule and the cascade are fitted on the first 200, 1000 and 5000 items of one half of each set (fewer where the set has fewer) and
measured at equal cost on the other half, which is the same for all sizes; five times. Costs: where the cheap models carry most of
the load, in the middle, and where nearly everything may run. Methods as in frontier.py.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from harness.comparison import OURS, items_of, matched, peers_at, points_of_path, split_of
from harness.datasets import Ladder, ladders
from harness.price_path import price_paths
from harness.report import arguments, data_folder, on_one_thread, print_table, write
from harness.standing import MAY_LOSE, cells_of, names_of, standings

from cascade.calibration.fit import fit_policy
from cascade.core.service import ServiceTable
from cascade.errors import SmallSampleWarning

N_SEEDS = 5
SIZES = (200, 1000, 5000)
COSTS = {
    "CIFAR-10 JPEG": (3.2, 4.6, 6.8),
    "FrugalML RAF-DB": (2.0, 6.1, 10.2),
    "FrugalML DIGIT": (5.0, 12.8, 37.0),
    "FrugalML AudioMNIST": (1.2, 3.1, 10.0),
    "FrugalML Yelp": (0.3, 0.9, 1.9),
    "netcal CIFAR-10": (2.0, 4.0, 8.0),
    "digits": (1.3, 2.0, 10.0),
}


def sizes_of(ladder: Ladder) -> list[int]:
    """The numbers of items to fit on, up to half of the set."""
    half = ladder.outcomes.n_items // 2
    return sorted({min(size, half) for size in SIZES})


def measure(ladder: Ladder) -> list[dict[str, Any]]:
    """Every method at every size and cost, ready for JSON."""
    items, costs = items_of(ladder), COSTS[ladder.name]
    rows = []
    for size in sizes_of(ladder):
        splits = []
        for seed in range(N_SEEDS):
            split = split_of(ladder, items, seed, size)
            policy = fit_policy(split.train, ServiceTable.from_costs(ladder.costs), seed=seed)
            paths = price_paths(policy, split.train, split.test, ladder.costs)
            own = {OURS: matched(points_of_path(*paths), costs)}
            splits.append(own | peers_at(split, ladder.costs, costs))
        rows += [{"n_fit": size} | entry for entry in standings(costs, splits)]
    return rows


def show(name: str, rows: list[dict[str, Any]]) -> None:
    """Print the table of one ladder, the sizes of one cost below each other."""
    print(f"\n{name}")
    names = names_of(rows)
    ordered = sorted(rows, key=lambda row: (row["cost"], row["n_fit"]))
    print_table(
        ["cost", "items", *names, "best peer", "difference"],
        [[cells[0], str(row["n_fit"]), *cells[1:]] for row in ordered for cells in [cells_of(row, names)]],
    )


def main() -> None:
    options = arguments(__doc__)
    # 200 items are few on purpose here.
    warnings.simplefilter("ignore", SmallSampleWarning)
    print(f"held-out accuracy in % at equal cost, mean of {N_SEEDS} seeds")
    results = {}
    for ladder in ladders(data_folder(options.data)):
        results[ladder.name] = measure(ladder)
        show(ladder.name, results[ladder.name])
    rows = [row for result in results.values() for row in result if "difference" in row]
    print()
    for size in sorted({row["n_fit"] for row in rows}):
        found = np.array([row["difference"] for row in rows if row["n_fit"] == size])
        print(
            f"{size} items: {(found >= MAY_LOSE).sum()} of {len(found)} cells not more than {-MAY_LOSE:g} points behind the best "
            f"peer; mean {found.mean():+.2f}, worst {found.min():+.2f}"
        )
    write("learning_curves", {"ladders": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
