from math import isnan

from cascade.scheduling.messages import Run
from cascade.simulation.runs import Runs


def test_batches_become_columns():
    runs = Runs.of([(0.0, 4.0, Run(1, 2, (5, 6, 7), 0.5, "limit")), (4.0, 3.0, Run(0, 1, (8,), 0.25, "deadline"))])
    assert len(runs) == 2
    assert (runs.lane.tolist(), runs.stage.tolist(), runs.size.tolist()) == ([1, 0], [2, 1], [3, 1])
    assert (runs.start_ms.tolist(), runs.took_ms.tolist()) == ([0.0, 4.0], [4.0, 3.0])
    assert runs.price.tolist() == [0.5, 0.25]
    assert runs.mean_size == 2.0
    assert runs.busy_ms == 7.0


def test_no_batches_have_no_mean_size():
    assert isnan(Runs.of([]).mean_size)
    assert Runs.of([]).busy_ms == 0.0
