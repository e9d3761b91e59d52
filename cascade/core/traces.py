"""The stages that ran for an item, in order, as one number: digits to the base K + 1, the first stage the highest.

Pure functions.
"""

from __future__ import annotations


def trace_of(path: tuple[int, ...], k: int) -> int:
    """The trace of a path of stages, of K, as `stages_of` reads it.

    Examples
    --------
    >>> stages_of(trace_of((2, 0), 3), 3)
    (2, 0)
    """
    trace = 0
    for j in path:
        trace = trace * (k + 1) + j + 1
    return trace


def stages_of(trace: int, k: int) -> tuple[int, ...]:
    """The stages of a path, of K, in order.

    Examples
    --------
    >>> stages_of(3 * 4 + 1, 3)
    (2, 0)
    """
    path = []
    while trace:
        trace, digit = divmod(trace, k + 1)
        path.append(digit - 1)
    return tuple(path[::-1])


def names_of(trace: int, stages: tuple[str, ...]) -> tuple[str, ...]:
    """The same, by the names of all K stages.

    Examples
    --------
    >>> names_of(3 * 4 + 1, ("a", "b", "c"))
    ('c', 'a')
    """
    return tuple([stages[j] for j in stages_of(trace, len(stages))])
