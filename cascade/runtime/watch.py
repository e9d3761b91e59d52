"""What is noted about answers besides giving them: which of them are within the policy's guarantee.

The lane is held by the caller.
"""

from __future__ import annotations

from cascade.core.guarantee import Guarantee
from cascade.runtime.batch import Rows
from cascade.runtime.ready import INFINITE
from cascade.runtime.single import Request
from cascade.runtime.walk import Walk
from cascade.telemetry.counters import Counters


class Watch:
    """Looks at every answer once it is counted.

    Parameters
    ----------
    counters : Counters
    guarantee : Guarantee
        Of the policy that answers.
    """

    def __init__(self, counters: Counters, guarantee: Guarantee) -> None:
        self._counters = counters
        self._abstain_below = guarantee.abstain_below or 0.0

    def see_one(self, walk: Walk, request: Request) -> None:
        """Note what became of one item."""
        if walk.is_certified and request.terms.abstain_below == self._abstain_below:
            self._counters.count_certified(1)

    def see_many(self, rows: Rows, request: Request) -> None:
        """Note what became of the rows of one call; only calls without a deadline are certified."""
        if request.deadline_ms == INFINITE and request.terms.abstain_below == self._abstain_below:
            self._counters.count_certified(int((~rows.degraded).sum()))
