"""The envelope of a policy: for every item the worst that any price and any time left may lead to.

Pure. A router may choose another price for every request, and time may run short by any amount down to a stated budget;
what holds for the worst of all these paths holds for the one that is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cascade.core.evidence import reachable_sets
from cascade.core.fit_kernels import worst_losses
from cascade.core.induction import STOP
from cascade.core.records import FloatArray
from cascade.core.table import DecisionTable
from cascade.core.times import time_classes

Actions = NDArray[np.int32]
"""Bit masks of actions, shape (2**K, F): bit j for running stage j, bit K for stopping."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What can happen under the first l of a path of prices, for every l.

    Attributes
    ----------
    edges : ndarray, shape (2**K, F - 1)
        Inner edges of the confidence intervals.
    actions : ndarray of int32, shape (L, 2**K, F)
        Bit masks of the actions possible at some price up to each one.
    requires : tuple of int
    slack : float
        A confidence this close below an edge counts as reaching it.
    """

    edges: FloatArray
    actions: NDArray[np.int32]
    requires: tuple[int, ...]
    slack: float

    def up_to(self, step: int) -> Reach:
        """What can happen at one length of the path, alone."""
        return replace(self, actions=self.actions[step : step + 1])

    def worst(self, confidence: FloatArray, losses: NDArray[np.int8]) -> NDArray[np.int8]:
        """The largest loss over everything that can happen to each item, at every length of the path, shape (n, L).

        Parameters
        ----------
        confidence : ndarray, shape (n, 2**K)
            Of every evidence set.
        losses : ndarray of int8, shape (n, 2**K)
            What is lost by answering from each set: -1, 0 or 1.
        """
        cells = np.zeros(confidence.shape, np.int32)
        sets = np.array(reachable_sets(self.requires), np.int64)
        for s in sets[1:]:
            cells[:, s] = np.searchsorted(self.edges[s] - self.slack, confidence[:, s], side="right")
        found = np.empty((len(confidence), len(self.actions)), np.int8)
        worst_losses(cells, losses, self.actions, sets, len(self.requires), found)
        return found


def possible_actions(table: DecisionTable, floors_ms: FloatArray, fastest: int) -> Actions:
    """The actions that one table takes with any time left from a floor up.

    Parameters
    ----------
    table : DecisionTable
    floors_ms : ndarray, shape (2**K,)
        Least time left once each set of stages has run.
    fastest : int
        The stage that runs where none fits.
    """
    n_sets, n_classes, n_cells = table.actions.shape
    k = n_sets.bit_length() - 1
    bits = np.int32(1) << np.where(table.actions == STOP, k, table.actions).astype(np.int32)
    bits[0][table.actions[0] == STOP] = 1 << fastest
    masks = np.zeros((n_sets, n_cells), np.int32)
    first = time_classes(table.time_edges_ms, floors_ms)
    for s in range(n_sets):
        masks[s] = np.bitwise_or.reduce(bits[s, min(int(first[s]), n_classes - 1) :], axis=0)
    return masks


def reach_of(steps: Sequence[Sequence[Actions]], table: DecisionTable, requires: tuple[int, ...]) -> Reach:
    """What can happen along a path whose every step adds these actions; the intervals are those of the table."""
    added = np.stack([np.bitwise_or.reduce(np.stack(list(masks)), axis=0) for masks in steps])
    return Reach(table.edges, np.bitwise_or.accumulate(added, axis=0), requires, table.slack)
