"""For tests of cascades: a contract that every stage must pass, a stage whose answers and times are given, and faults.

Needs no test framework, and no model: with a `VirtualClock`, hours of service pass at once.
"""

from cascade.clock import VirtualClock
from cascade.testing.contract import check_stage
from cascade.testing.fakes import FakeExit, FakeStage
from cascade.testing.faults import FailingStage, NanStage, SlowStage

__all__ = ["FailingStage", "FakeExit", "FakeStage", "NanStage", "SlowStage", "VirtualClock", "check_stage"]
