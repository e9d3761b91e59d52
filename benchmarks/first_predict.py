"""Is the first `predict` after construction as fast as the hundredth?

Fresh processes build a `Predictor` over two tiny models of the digits (logistic regression, and a perceptron in torch) from saved
parameters, a saved policy and a saved table of service times, so that nothing is warm but what the constructor warms. Each then asks
for one image 200 times; it is an image that both models look at. Under two conditions: compiled kernels lie in a cache on disk, or no
cache can be written at all, neither beside the package nor under the home directory nor where numba is told to.
Beside it the same two models called by hand in fresh processes of their own, after three warming calls on an image of noughts: what
memory that is not yet in the processor's caches costs anyway. Compiling in the first call would show as a factor of hundreds.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness.report import ROOT, arguments, on_one_thread, print_table, write

N_PROCESSES = 9
N_CALLS = 200
IN_FRESH_PROCESS = "--in-fresh-process"


def prepare(folder: Path) -> None:
    """Save the parameters of both models, a policy, a service table, and an image that both models look at."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    from cascade.calibration.fit import fit_policy
    from cascade.core.outcomes import Outcomes
    from cascade.profiling.profile import profile

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    linear = LogisticRegression(max_iter=1000).fit(images[:100], labels[:100])
    torch.manual_seed(0)
    net = perceptron()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    x, y = torch.from_numpy(images[:600]), torch.from_numpy(labels[:600])
    for _ in range(100):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    np.savez(folder / "linear.npz", coef=linear.coef_, intercept=linear.intercept_)
    np.savez(folder / "net.npz", **{name: value.numpy() for name, value in net.state_dict().items()})
    stages = load_stages(folder)
    outcomes = Outcomes.record(stages, images[600:], labels[600:], progress=False)
    service = profile(stages, images[600:], progress=False)
    policy = fit_policy(outcomes, service, max_accuracy_drop=0.0)
    dearest = int(policy.replay(outcomes).cost.argmax())
    np.save(folder / "image.npy", images[600 + dearest])
    policy.save(folder / "policy.json")
    service.save(folder / "service.json")


def perceptron() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def load_models(folder: Path) -> tuple[Any, Any]:
    """Both models, from saved parameters: training in the fresh process would warm the libraries up."""
    import torch
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression()
    with np.load(folder / "linear.npz", allow_pickle=False) as file:
        linear.coef_, linear.intercept_ = file["coef"], file["intercept"]
    linear.classes_, linear.n_features_in_ = np.arange(10), 64
    net = perceptron()
    with np.load(folder / "net.npz", allow_pickle=False) as file:
        net.load_state_dict({name: torch.from_numpy(file[name]) for name in file.files})
    return linear, net.eval()


def load_stages(folder: Path) -> list[Any]:
    from cascade.stages.stage import Stage

    linear, net = load_models(folder)
    return [Stage(linear, name="linear"), Stage(net, name="perceptron", classes=range(10))]


def timed_us(call: Callable[[], Any]) -> list[float]:
    """Microseconds of each of the calls, the first one first."""
    took = []
    for _ in range(N_CALLS):
        began = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - began) / 1e3)
    return took


def predictor_process(folder: Path, root: Path) -> dict[str, Any]:
    """Milliseconds that construction took, microseconds that each predict took, and the path."""
    import cascade

    assert Path(cascade.__file__).is_relative_to(root)
    image = np.load(folder / "image.npy", allow_pickle=False)
    stages = load_stages(folder)
    policy = cascade.Policy.load(folder / "policy.json")
    service = cascade.ServiceTable.load(folder / "service.json")
    make = cascade.Predictor  # loads its module here, not in the time of construction
    began = time.perf_counter()
    with make(stages, policy, service=service) as predictor:
        construction_ms = 1e3 * (time.perf_counter() - began)
        took_us = timed_us(lambda: predictor.predict(image))
        return {"construction_ms": construction_ms, "took_us": took_us, "path": predictor.predict(image).path}


def bare_process(folder: Path, _root: Path) -> dict[str, Any]:
    """Microseconds that each call of both models took, by hand."""
    import torch

    linear, net = load_models(folder)
    image = np.load(folder / "image.npy", allow_pickle=False)[None]

    @torch.inference_mode()
    def both(row: Any) -> None:
        linear.predict_proba(row)
        torch.softmax(net(torch.from_numpy(row)), dim=1).numpy()

    for _ in range(3):
        both(np.zeros_like(image))
    return {"took_us": timed_us(lambda: both(image))}


PROCESSES = {"predictor": predictor_process, "bare": bare_process}


def without_caches(folder: Path) -> tuple[Path, dict[str, str]]:
    """A copy of the package, and an environment, in which no cache can be written.

    Files stand where the folders would be made: permissions would not stop an administrator.
    """
    copy = folder / "copy"
    shutil.copytree(ROOT / "cascade", copy / "cascade", ignore=shutil.ignore_patterns("__pycache__"))
    for place in [copy / "cascade", *(copy / "cascade").rglob("*/")]:
        (place / "__pycache__").touch()
    nowhere = folder / "nowhere"
    nowhere.touch()
    paths = {name: str(nowhere / "cache") for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    return copy, paths


def run_processes(kind: str, folder: Path, root: Path, env: dict[str, str], n_processes: int) -> list[dict[str, Any]]:
    """What each of the fresh processes printed."""
    command = [sys.executable, __file__, IN_FRESH_PROCESS, kind, str(folder), str(root)]
    env = os.environ | env | {"PYTHONPATH": str(root)}
    runs = []
    for _ in range(n_processes):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"a fresh process failed:\n{done.stderr}")
        runs.append(json.loads(done.stdout))
    return runs


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """First call against the median of the second hundred, per process, and medians over the processes."""
    took = np.array([run["took_us"] for run in runs])
    later = np.median(took[:, N_CALLS // 2 :], axis=1)
    ratios = np.sort(took[:, 0] / later)
    found = {
        "first_us": round(float(np.median(took[:, 0])), 1),
        "second_us": round(float(np.median(took[:, 1])), 1),
        "later_us": round(float(np.median(later)), 1),
        "ratio": round(float(np.median(ratios)), 2),
        "ratio_range": [round(float(ratios[0]), 2), round(float(ratios[-1]), 2)],
    }
    if "construction_ms" in runs[0]:
        found["construction_ms"] = round(statistics.median(run["construction_ms"] for run in runs), 1)
        found["path"] = runs[0]["path"]
    return found


def main() -> None:
    options = arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        cached = {"NUMBA_CACHE_DIR": str(folder / "cache")}
        run_processes("predictor", folder, ROOT, cached, 1)
        results = {
            "kernels cached on disk": summary(run_processes("predictor", folder, ROOT, cached, N_PROCESSES)),
            "no cache can be written": summary(
                run_processes("predictor", folder, *without_caches(folder), N_PROCESSES)
            ),
            "the models by hand": summary(run_processes("bare", folder, ROOT, cached, N_PROCESSES)),
        }
    path = " > ".join(results["kernels cached on disk"]["path"])
    print(f"medians over {N_PROCESSES} fresh processes; path of the image: {path}")
    rows = [
        [
            condition,
            f"{r['construction_ms']:.0f}" if "construction_ms" in r else "-",
            *(f"{r[column]:.0f}" for column in ("first_us", "second_us", "later_us")),
            f"{r['ratio']:.2f}",
            "{:.2f} to {:.2f}".format(*r["ratio_range"]),
        ]
        for condition, r in results.items()
    ]
    print_table(["", "construct ms", "1st us", "2nd us", "101st-200th us", "1st / later", "range"], rows)
    write("first_predict", {"n_processes": N_PROCESSES, "conditions": results}, options.out)


if __name__ == "__main__":
    on_one_thread()
    if IN_FRESH_PROCESS in sys.argv:
        _, _, kind, *places = sys.argv
        print(json.dumps(PROCESSES[kind](*map(Path, places))))
    else:
        main()
