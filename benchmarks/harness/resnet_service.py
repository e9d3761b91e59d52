"""How long the residual networks take: measured once, kept beside the results, read from there afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness.report import ROOT

from cascade.core.service import ServiceTable

PATH = ROOT / "benchmarks" / "results" / "cifar_service.json"
DEPTHS = (20, 32, 44, 56)
MAX_BATCH = 32
N_IMAGES = 512
N_PASSES, CELL_MS, HEAT_MS = 6, 1500.0, 1000.0


def resnet_service(data: Path, *, again: bool) -> ServiceTable:
    """The measured table of the four networks; measured now if it is not there or is to be measured again."""
    if again or not PATH.exists():
        quietest([measured_service(data) for _ in range(N_PASSES)]).save(PATH)
    return ServiceTable.load(PATH)


def measured_service(data: Path) -> ServiceTable:
    """Batches of 1 to 32 images on one thread; takes about 40 seconds, in which nothing else should run."""
    # Here, because only this needs torch, whose import takes seconds.
    from harness.networks import cifar_images, resnet

    from cascade.profiling.profile import profile
    from cascade.stages.stage import Stage

    stages = [Stage(resnet(data, depth), name=f"resnet{depth}") for depth in DEPTHS]
    images, _ = cifar_images(data)
    return profile(stages, images[:N_IMAGES], max_batch=MAX_BATCH, cell_ms=CELL_MS, heat_ms=HEAT_MS)


def quietest(tables: Sequence[ServiceTable]) -> ServiceTable:
    """The least of each figure: a neighbour on the machine only ever adds to it, and seldom in every pass."""
    # The table is published; the name of the machine is nobody's business.
    stamp = {key: value for key, value in (tables[0].stamp or {}).items() if key != "node"} | {"n_passes": len(tables)}
    mean_ms = np.minimum.reduce([table.mean_ms for table in tables])
    quantile_ms = np.minimum.reduce([table.quantile_ms for table in tables])
    return replace(tables[0], mean_ms=mean_ms, quantile_ms=quantile_ms, costs=mean_ms[:, 0], stamp=stamp)
