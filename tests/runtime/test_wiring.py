import numpy as np
import pytest

from cascade.core.policy import Policy
from cascade.errors import ConfigurationError, PolicyMismatch
from cascade.runtime.wiring import bound_policy, check_stages_of
from cascade.testing.fakes import FakeStage


def test_the_stages_of_the_policy_pass(parts, stages):
    check_stages_of(parts.policy, stages)


@pytest.mark.parametrize("change", [lambda stages: stages[:1], lambda stages: stages[::-1]])
def test_other_stages_are_refused_with_both_sides(parts, stages, change):
    with pytest.raises(PolicyMismatch, match=r"\('weak', 'strong'\), got"):
        check_stages_of(parts.policy, change(stages))


def test_a_chain_learns_its_classes_from_the_stages(parts):
    chain = Policy.from_thresholds([0.5], parts.service)
    named = [FakeStage(name, np.eye(3), classes="abc") for name in chain.stages]
    unnamed = [FakeStage(name, np.eye(3)) for name in chain.stages]
    assert bound_policy(chain, named, None).classes == ("a", "b", "c")
    assert bound_policy(chain, unnamed, np.arange(2)).classes == (0, 1, 2)
    with pytest.raises(ConfigurationError, match="expected sample= or stages with classes="):
        bound_policy(chain, unnamed, None)
