import numpy as np
import pytest

from cascade.errors import ConfigurationError
from cascade.simulation.baselines.chains import Chain
from cascade.simulation.baselines.gear_planner import planned_gears
from cascade.simulation.recorded import Recorded
from cascade.simulation.service_times import ServiceTimes

CHEAP, DEAR = Chain((0,), ()), Chain((0, 1), (0.5,))


@pytest.fixture(scope="module")
def recorded():
    """The small stage is right about every other item and knows which; the large one about all."""
    right = np.arange(40) % 2 == 0
    confidence = np.stack([np.zeros(40), np.where(right, 0.9, 0.1), np.ones(40), np.ones(40)], axis=1)
    return Recorded(confidence, np.stack([np.zeros(40, bool), right, np.ones(40, bool), np.ones(40, bool)], axis=1))


def test_the_dear_chain_serves_low_rates_and_the_cheap_one_those_that_it_cannot_keep_up_with(table, recorded):
    rates = [20.0, 50.0, 600.0, 1200.0]
    gears = planned_gears(
        [CHEAP, DEAR], recorded, ServiceTimes(table), rates, budget_ms=40.0, n_requests=300, max_batch=8
    )
    assert [gear.up_to_rps for gear in gears] == rates
    assert [gear.chain for gear in gears[:2]] == [DEAR, DEAR]
    assert gears[-1].chain == CHEAP


def test_a_plan_without_chains_is_refused(table, recorded):
    with pytest.raises(ConfigurationError, match="expected at least one chain to choose from, got none"):
        planned_gears([], recorded, ServiceTimes(table), [20.0], budget_ms=40.0)
