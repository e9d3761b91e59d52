"""Which budgets show what a ladder of stages can do. Pure."""

from __future__ import annotations

from itertools import pairwise
from math import inf, sqrt

from cascade.core.service import ServiceTable

_LEVEL = 0.99
# Room that a budget leaves for what the stages do not take themselves, as a factor.
_ROOM = 1.5
# Of two budgets closer than this factor, the larger is enough.
_APART = 1.15


def telling_budgets(service: ServiceTable) -> list[float]:
    """Budgets in milliseconds between the fastest stage and all stages together, ascending.

    What fits changes at the 0.99 quantile of each stage, at the sum of all but the slowest and at the sum of all. There is
    one budget with some room beyond each such time; the first, for the fastest stage alone, has more room.

    Parameters
    ----------
    service : ServiceTable
        Of two or more stages.

    Examples
    --------
    >>> telling_budgets(ServiceTable.from_costs([0.1, 1.0, 10.0]))
    [0.32, 1.6, 17.0]
    """
    upper_ms = sorted(service.quantile_at(j, 1, _LEVEL) for j in range(service.n_stages))
    total_ms = sum(upper_ms)
    changes_ms = sorted({*upper_ms, total_ms - upper_ms[-1], total_ms})
    first_ms = max(sqrt(changes_ms[0] * changes_ms[1]), _ROOM * changes_ms[0])
    roomy_ms = [first_ms, *(_ROOM * change_ms for change_ms in changes_ms[1:])]
    apart_ms = [now for now, after in pairwise([*roomy_ms, inf]) if after >= _APART * now]
    return [float(f"{budget_ms:.2g}") for budget_ms in apart_ms]


def largest_that_fits(service: ServiceTable, budget_ms: float | None) -> int:
    """Index of the slowest stage whose 0.99 quantile fits the budget; of the fastest where none does.

    Examples
    --------
    >>> service = ServiceTable.from_costs([0.1, 1.0, 10.0])
    >>> largest_that_fits(service, 5.0), largest_that_fits(service, None), largest_that_fits(service, 0.01)
    (1, 2, 0)
    """
    by_speed = sorted(range(service.n_stages), key=lambda j: service.mean_at(j, 1))
    fitting = [j for j in by_speed if budget_ms is None or service.quantile_at(j, 1, _LEVEL) <= budget_ms]
    return (fitting or by_speed[:1])[-1]
