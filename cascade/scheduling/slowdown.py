"""How much longer stages take than their profile says, per lane and stage: a mean that is followed, and a margin.

Pure state. The mean follows ALERT (Wan, Santriaji, Rogers, Hoffmann, Maire and Lu, 2020, ALERT: Accurate Learning for
Energy and Timeliness): a Kalman filter over measured / profiled. The margin begins as the profile's upper quantile and becomes
what the lane shows: a spread, and an online quantile on top of it (Gibbs and Candès, 2021, Adaptive Conformal Inference Under
Distribution Shift) that grows with every run over the time it was given and shrinks a little with every other.
"""

from __future__ import annotations

import math

from cascade.core.records import FloatArray
from cascade.scheduling.service_times import Times

_NOISE = 0.05**2
"""Variance of the ratio from one run to the next while nothing changes."""
_LEAST_CHANGE, _FADE = 0.01**2, 0.7
"""Variance by which the mean itself may move between two runs: its floor, and the share of the old estimate kept."""
_OUTLIER = 4.0
"""Standard deviations beyond which one run is a spike; a second one on the same side is a change."""
_SHRINKAGE = 4.0
"""Runs of a stage that count as much as what its lane shows."""
_DEVIATIONS = 2.8
"""Standard deviations that a run stays within 997 times of 1,000, if they are normal."""
_MISS, _STEP = 0.002, 0.2
"""Share of the runs that may take longer than their margin, and how far one that does widens it."""
_COVERED = 2.0
"""Runs further beyond their margin than this many times are spikes, which no margin is to cover."""
_MARGINS = (0.7, 2.0)
_MOST_TAIL = 3.0
"""More than this is no longer scatter around a mean; a plan that allowed for it would refuse everybody."""
_MOST_RATIO = 32.0
"""A run that takes longer than this was interrupted: what that added, to a stage of microseconds say, grows with no batch."""
QUIET_MS, _FADED_MS = 50.0, 200.0
"""Without a run for so long what was measured begins to fade, by a factor e in so long."""
_MEMORY = 1.0 / 64.0
_PROFILED = 32.0
"""Runs of a lane that count as much as the profile's upper quantiles."""


class _Ratio:
    """One followed ratio."""

    __slots__ = ("_change", "_spread", "_suspect", "mean", "n")

    def __init__(self) -> None:
        self.mean, self._spread, self._change, self._suspect, self.n = 1.0, 0.1, _LEAST_CHANGE, 0, 0

    def note(self, ratio: float) -> None:
        off = ratio - self.mean
        limit = _OUTLIER * (self._spread + _NOISE) ** 0.5
        if abs(off) > limit:
            side = 1 if off > 0.0 else -1
            if self._suspect != side:
                self._suspect = side
                return
            self._spread = max(self._spread, off * off)
        self._suspect = 0 if abs(off) <= limit else self._suspect
        self.n += 1
        gain = self._spread / (self._spread + _NOISE)
        moved = gain * off
        self.mean = max(self.mean + moved, 0.05)
        self._change = max(_LEAST_CHANGE, _FADE * self._change + (1.0 - _FADE) * moved * moved)
        self._spread = (1.0 - gain) * self._spread + self._change

    def fade(self, kept: float) -> None:
        """Forget part of it."""
        self.mean = 1.0 + kept * (self.mean - 1.0)


class _Spread:
    """How far the runs of a lane scatter around what was expected of them, and the margin that this asks for."""

    __slots__ = ("_margin", "_variance", "n")

    def __init__(self) -> None:
        self._variance, self._margin, self.n = _NOISE, 1.0, 0

    def note(self, ratio: float) -> None:
        self.n += 1
        allowed, (low, high) = self.quantile(), _MARGINS
        if ratio - 1.0 <= _COVERED * (allowed - 1.0):
            self._margin = min(max(self._margin + _STEP * ((ratio > allowed) - _MISS), low), high)
        off = min((ratio - 1.0) ** 2, _OUTLIER**2 * self._variance)
        self._variance += max(_MEMORY, 1.0 / (self.n + 1.0)) * (off - self._variance)

    def quantile(self) -> float:
        """Measured over expected time that is rarely exceeded."""
        return min(1.0 + _DEVIATIONS * self._margin * math.sqrt(self._variance), _MOST_TAIL)

    def fade(self, kept: float) -> None:
        """Forget part of it."""
        self._variance = _NOISE + kept * (self._variance - _NOISE)
        self._margin = 1.0 + kept * (self._margin - 1.0)


class SlowDown:
    """Measured over profiled service times.

    Parameters
    ----------
    times : Times
        Of every stage at every batch size, as profiled.
    n_lanes : int

    Attributes
    ----------
    overall : float
        Of all stages and lanes, in the mean.
    stretch : float
        Upper quantile of now over the profiled one, in the mean over stages and lanes: what the time left is divided by.
    """

    def __init__(self, times: Times, n_lanes: int) -> None:
        self._times, k = times, times.n_stages
        self._lanes = [_Ratio() for _ in range(n_lanes)]
        self._spreads = [_Spread() for _ in range(n_lanes)]
        self._stages = [[_Ratio() for _ in range(k)] for _ in range(n_lanes)]
        self._factors = [[1.0] * k for _ in range(n_lanes)]
        tails = [
            upper[1] / mean[1] if mean[1] else 1.0 for mean, upper in zip(times.mean_ms, times.upper_ms, strict=True)
        ]
        self._mean_tail = sum(tails) / k
        self.overall = self.stretch = 1.0

    def note(self, lane: int, stage: int, n: int, measured_ms: float) -> None:
        """A batch of n took this long."""
        profiled_ms = self._times.mean_of(stage, n)
        if profiled_ms <= 0.0:
            return
        ratio, factors = min(measured_ms / profiled_ms, _MOST_RATIO), self._factors[lane]
        self._spreads[lane].note(ratio / factors[stage])
        whole, own = self._lanes[lane], self._stages[lane][stage]
        whole.note(ratio)
        own.note(ratio)
        # A stage that has not run yet is taken to be as slow as its lane.
        factors[:] = [self._shrunk(one, whole) for one in self._stages[lane]]
        self._sum_up()

    def _shrunk(self, own: _Ratio, whole: _Ratio) -> float:
        share = own.n / (own.n + _SHRINKAGE)
        return share * own.mean + (1.0 - share) * whole.mean

    def _sum_up(self) -> None:
        n_lanes = len(self._lanes)
        self.overall = sum([one.mean for one in self._lanes]) / n_lanes
        tails = [(1.0 - share) * self._mean_tail + share * tail for share, tail in map(self._tail, range(n_lanes))]
        self.stretch = self.overall * sum(tails) / (n_lanes * self._mean_tail)

    def fade(self, quiet_ms: float) -> None:
        """Nothing has run for so long: believe what was measured less, or nothing might be tried, and measured, ever again."""
        kept = math.exp(-max(quiet_ms - QUIET_MS, 0.0) / _FADED_MS)
        for lane, whole in enumerate(self._lanes):
            whole.fade(kept)
            self._spreads[lane].fade(kept)
            for own in self._stages[lane]:
                own.fade(kept)
            self._factors[lane][:] = [self._shrunk(own, whole) for own in self._stages[lane]]
        self._sum_up()

    def factor(self, lane: int, stage: int) -> float:
        """What the profiled mean is to be multiplied with; 1 before the first run."""
        return self._factors[lane][stage]

    def upper(self, lane: int, stage: int) -> UpperTimes:
        """What batches may take now."""
        share, tail = self._tail(lane)
        factor = self._factors[lane][stage]
        return UpperTimes(self._times, stage, (1.0 - share) * factor, share * tail * factor)

    def _tail(self, lane: int) -> tuple[float, float]:
        """How far the lane is believed, and its upper quantile over its mean."""
        spread = self._spreads[lane]
        return spread.n / (spread.n + _PROFILED), spread.quantile()


class UpperTimes:
    """What batches of one stage may take: a mixture of the profiled upper quantiles and of stretched means.

    Read by size, since most batches are closed after a look or two.
    """

    __slots__ = ("_mean_ms", "_of_mean", "_of_upper", "_stage", "_times", "_upper_ms")

    def __init__(self, times: Times, stage: int, of_upper: float, of_mean: float) -> None:
        self._times, self._stage, self._of_upper, self._of_mean = times, stage, of_upper, of_mean
        self._mean_ms, self._upper_ms = times.mean_ms[stage], times.upper_ms[stage]

    def __getitem__(self, n: int) -> float:
        return self._of_upper * self._upper_ms[n] + self._of_mean * self._mean_ms[n]

    def array(self) -> FloatArray:
        """Of every size from 0 on, shape (limit + 1,)."""
        values: FloatArray = (
            self._of_upper * self._times.uppers[self._stage] + self._of_mean * self._times.means[self._stage]
        )
        return values
