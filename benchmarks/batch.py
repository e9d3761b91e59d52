"""What does `predict_batch` cost beyond the stages' own time on the rows that reached them?

One call over the 10,000 CIFAR-10 test images, ResNet-20 before ResNet-56, one thread, no deadline; without the data, perceptrons on the digits,
repeated to as many rows. Every micro-batch that a stage got is kept, and after the call the very same ones go through `Stage.run` again,
with nothing in between. Two ratios per repeat:

replayed   time of the call over the time of the replay; the order of the two alternates. Bar: 1.05
within     time of the call over the time that the stages took within that same call: free of the drift of the machine between the two,
           but blind to what the call might do to the speed of the stages
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.networks import cifar_images, digit_ladder, resnet
from harness.report import arguments, data_folder, on_one_thread, print_table, write

from cascade.calibration.fit import fit_policy
from cascade.core.outcomes import Outcomes
from cascade.predictor import Predictor
from cascade.profiling.profile import profile_brief
from cascade.runtime.answers import BatchPrediction
from cascade.stages.stage import Stage

BAR = 1.05
N_ROWS, N_FIT_ROWS = 10_000, 300
N_REPEATS = 3


class RecordedStage:
    """A stage that keeps the batches it is given, and how long it took for each."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.batches: list[Any] = []
        self.took_s: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def run(self, batch: Any, carry: Any = None) -> tuple[Any, Any]:
        began = time.perf_counter()
        result = self._stage.run(batch, carry)
        self.took_s.append(time.perf_counter() - began)
        self.batches.append(batch)
        return result

    def forget(self) -> None:
        """Drop what was kept."""
        self.batches, self.took_s = [], []

    def replay_s(self) -> float:
        """Seconds that the kept batches take, one after the other."""
        run, began = self._stage.run, time.perf_counter()
        for batch in self.batches:
            run(batch)
        return time.perf_counter() - began


def prepared(data: Path | None) -> tuple[str, list[RecordedStage], np.ndarray, Predictor]:
    """The name of what is measured, its stages, the rows to answer, and a predictor fitted on a few of the rows.

    Nothing is said about accuracy here, so that the rows that are served may include those that were fitted on.
    """
    if data is None:
        name, ladder = "digits, repeated", digit_ladder()
        stages = [Stage(ladder.small, name="small"), Stage(ladder.large, name="large")]
        images, labels = np.resize(ladder.served_rows[0], (N_ROWS, 64)), np.resize(ladder.served_rows[1], N_ROWS)
    else:
        name = "CIFAR-10, ResNet-20 before ResNet-56"
        stages = [Stage(resnet(data, depth), name=f"resnet{depth}") for depth in (20, 56)]
        images, labels = (part[:N_ROWS] for part in cifar_images(data))
    recorded = [RecordedStage(stage) for stage in stages]
    few = slice(0, N_FIT_ROWS)
    outcomes = Outcomes.record(recorded, images[few], labels[few], progress=False)
    service = profile_brief(recorded, images[few])
    predictor = Predictor(recorded, fit_policy(outcomes, service), service, sample=images[:64])
    return name, recorded, images, predictor


def call_s(predictor: Predictor, images: np.ndarray, stages: list[RecordedStage]) -> tuple[float, BatchPrediction]:
    """Seconds of one call, whose batches are kept, and its answers."""
    for stage in stages:
        stage.forget()
    began = time.perf_counter()
    answers = predictor.predict_batch(images)
    return time.perf_counter() - began, answers


def measure(predictor: Predictor, images: np.ndarray, stages: list[RecordedStage]) -> dict[str, Any]:
    """All repeats; a replay before the call is of the batches of the call before, which are the same."""
    repeats = []
    _, answers = call_s(predictor, images, stages)
    sizes = [[len(batch) for batch in stage.batches] for stage in stages]
    for i in range(N_REPEATS):
        replay_s = sum(stage.replay_s() for stage in stages) if i % 2 else 0.0
        took_s, answers = call_s(predictor, images, stages)
        if [[len(batch) for batch in stage.batches] for stage in stages] != sizes:
            raise SystemExit(
                "expected the same batches at every repeat: without a deadline nothing depends on the time"
            )
        within_s = sum(sum(stage.took_s) for stage in stages)
        replay_s = replay_s or sum(stage.replay_s() for stage in stages)
        repeats.append({"call_s": round(took_s, 3), "replay_s": round(replay_s, 3), "within_s": round(within_s, 3)})
        print(repeats[-1], flush=True)
    replayed = [r["call_s"] / r["replay_s"] for r in repeats]
    within = [r["call_s"] / r["within_s"] for r in repeats]
    return {
        "n_rows": len(images),
        "rows_by_stage": {stage.name: sum(size) for stage, size in zip(stages, sizes, strict=True)},
        "batches_by_stage": {stage.name: len(size) for stage, size in zip(stages, sizes, strict=True)},
        "median_batch_by_stage": {
            stage.name: statistics.median(size) if size else 0 for stage, size in zip(stages, sizes, strict=True)
        },
        "paths": {" > ".join(path): n for path, n in answers.path_counts.items()},
        "repeats": repeats,
        "replayed": {
            "median": round(statistics.median(replayed), 4),
            "range": [round(min(replayed), 4), round(max(replayed), 4)],
        },
        "within": {
            "median": round(statistics.median(within), 4),
            "range": [round(min(within), 4), round(max(within), 4)],
        },
    }


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    name, stages, images, predictor = prepared(data_folder(options.data))
    found = measure(predictor, images, stages)
    print(f"{name}: {found['n_rows']} rows; {found['paths']}")
    print(f"rows by stage {found['rows_by_stage']}, in batches {found['batches_by_stage']}\n")
    print_table(
        ["repeat", "call s", "replay s", "stages within s", "replayed", "within"],
        [
            [
                str(i + 1),
                f"{r['call_s']:.3f}",
                f"{r['replay_s']:.3f}",
                f"{r['within_s']:.3f}",
                f"{r['call_s'] / r['replay_s']:.4f}",
                f"{r['call_s'] / r['within_s']:.4f}",
            ]
            for i, r in enumerate(found["repeats"])
        ],
    )
    met = "met" if found["replayed"]["median"] <= BAR else "NOT met"
    print(
        f"\nmedian: replayed {found['replayed']['median']:.4f}, within {found['within']['median']:.4f}; bar {BAR} {met}"
    )
    write("batch", {"measured": name, "bar": BAR, **found}, options.out)


if __name__ == "__main__":
    on_one_thread()
    main()
