"""A table of plain times, and a way to write situations down in a line."""

import numpy as np
import pytest

from cascade.core.service import ServiceTable
from cascade.scheduling.messages import Answer, Arrived, Refuse, Run


@pytest.fixture(scope="session")
def table():
    """Without chance: the small stage takes 2 + n ms for n rows, the large one 4 + 4 n."""
    mean_ms = np.array([[3.0, 10.0], [8.0, 36.0]])
    return ServiceTable(
        stages=None, batch_sizes=(1, 8), mean_ms=mean_ms, quantile_ms=mean_ms[None], levels=(0.99,), costs=[1.0, 4.0]
    )


@pytest.fixture(scope="session")
def arrive():
    """Requests 0, 1, 2, ... with these deadlines, all at one instant."""

    def tell(rule, deadlines_ms, now_ms=0.0, first=0):
        for request, deadline_ms in enumerate(deadlines_ms, first):
            rule.handle(Arrived(request, deadline_ms), now_ms)

    return tell


@pytest.fixture(scope="session")
def said():
    """Commands in short: ("run", stage, requests), ("answer", request, evidence), ("degraded", ...), (reason, request)."""

    def short(command):
        match command:
            case Run(_, stage, requests):
                return "run", stage, requests
            case Answer(request, evidence_set, is_degraded):
                return "degraded" if is_degraded else "answer", request, evidence_set
            case Refuse(request, reason):
                return reason, request

    return lambda commands: [short(command) for command in commands]
