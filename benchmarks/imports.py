"""What does `import cascade` cost beyond `import numpy`, and which heavy libraries does it load?

Fresh interpreters, with and without the import, in pairs that take turns. The difference within a pair is what counts: its median,
with an interval for the median that holds for any distribution. Bar: 50 ms, and none of the heavy libraries loaded.
What a first use costs is put off, not saved; the lower rows show it.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from harness.report import arguments, on_one_thread, print_table, write
from scipy.stats import binom

BAR_MS = 50.0
HEAVY = ("torch", "numba", "sklearn", "scipy")
BEFORE = "import numpy"
# What is timed, and how many pairs.
CASES = {
    "import cascade": 31,
    "import cascade; cascade.Outcomes": 9,
    "import cascade; cascade.fit_policy": 9,
    "import cascade; cascade.Stage": 9,
    "import cascade; cascade.Predictor": 9,
}
TIMED = """
import sys, time
began = time.perf_counter()
{code}
took = time.perf_counter() - began
print(took, *[name for name in {heavy} if name in sys.modules])
"""


def fresh(code: str) -> tuple[float, list[str]]:
    """Milliseconds that the code takes in a fresh interpreter, and the heavy libraries that are loaded after it."""
    script = TIMED.format(code=code, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    took, *loaded = done.stdout.split()
    return 1e3 * float(took), loaded


def paired(code: str, n_pairs: int) -> dict[str, Any]:
    """The difference that the code makes, over pairs whose order alternates."""
    with_ms, without_ms, loaded = [], [], []
    fresh(f"{BEFORE}; {code}")
    for i in range(n_pairs):
        for second in (False, True):
            if second == bool(i % 2):
                took, loaded = fresh(f"{BEFORE}; {code}")
                with_ms.append(took)
            else:
                without_ms.append(fresh(BEFORE)[0])
    differences = np.sort(np.subtract(with_ms, without_ms))
    low, high = median_interval(n_pairs)
    return {
        "n_pairs": n_pairs,
        "numpy_alone_ms": round(float(np.median(without_ms)), 2),
        "beyond_ms": round(float(np.median(differences)), 2),
        "interval_ms": [round(float(differences[low]), 2), round(float(differences[high]), 2)],
        "loaded": loaded,
    }


def median_interval(n: int, level: float = 0.95) -> tuple[int, int]:
    """Indices of the order statistics between which the median lies with at least this probability."""
    k = max(int(binom.ppf((1.0 - level) / 2.0, n, 0.5)) - 1, 0)
    return k, n - 1 - k


def main() -> None:
    options = arguments(__doc__)
    results = {}
    for code, n_pairs in CASES.items():
        try:
            results[code] = paired(code, n_pairs)
        except subprocess.CalledProcessError as error:
            print(f"left out: {code!r} fails here with {error.stderr.strip().splitlines()[-1]}")
    header = ["after import numpy", "ms", "95 % interval", "pairs", "loaded of " + ", ".join(HEAVY)]
    rows = [
        [
            code,
            f"{r['beyond_ms']:.2f}",
            "{:.2f} to {:.2f}".format(*r["interval_ms"]),
            str(r["n_pairs"]),
            ", ".join(r["loaded"]) or "none",
        ]
        for code, r in results.items()
    ]
    print_table(header, rows)
    first = results["import cascade"]
    met = first["interval_ms"][1] <= BAR_MS and not first["loaded"]
    print(
        f"import numpy alone: {first['numpy_alone_ms']:.1f} ms. Bar of {BAR_MS:g} ms, none loaded: {'met' if met else 'NOT MET'}"
    )
    write("imports", {"bar_ms": BAR_MS, "cases": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
