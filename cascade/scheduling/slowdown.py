"""How much longer stages take than their profile says, per lane and stage: a mean that is followed, and a margin.

Pure state. The mean follows ALERT (Wan, Santriaji, Rogers, Hoffmann, Maire and Lu, 2020, ALERT: Accurate Learning for
Energy and Timeliness): a Kalman filter over measured / profiled. The margin is an online quantile (Gibbs and Candès, 2021,
Adaptive Conformal Inference Under Distribution Shift): it grows with every run over the time it was given.
"""

from __future__ import annotations

from cascade.scheduling.service_times import Times

_NOISE = 0.05**2
"""Variance of the ratio from one run to the next while nothing changes."""
_LEAST_CHANGE, _FADE = 0.01**2, 0.7
"""Variance by which the mean itself may move between two runs: its floor, and the share of the old estimate kept."""
_OUTLIER = 4.0
"""Standard deviations beyond which one run is a spike; a second one on the same side is a change."""
_SHRINKAGE = 4.0
"""Runs of a stage that count as much as what its lane shows."""
_STEP = 0.05
_MOST_MARGIN = 4.0


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


class SlowDown:
    """Measured over profiled service times.

    Parameters
    ----------
    times : Times
        Of every stage at every batch size, as profiled.
    n_lanes : int
    level : float
        Share of the runs that are to stay within their time; the margin is moved towards that.
    """

    def __init__(self, times: Times, n_lanes: int, level: float) -> None:
        self._times, self._miss = times, 1.0 - level
        self._lanes = [_Ratio() for _ in range(n_lanes)]
        self._stages = [[_Ratio() for _ in range(times.n_stages)] for _ in range(n_lanes)]
        self._margins = [[1.0] * times.n_stages for _ in range(n_lanes)]
        self._factors = [[1.0] * times.n_stages for _ in range(n_lanes)]
        self.overall = 1.0

    def note(self, lane: int, stage: int, n: int, measured_ms: float) -> None:
        """A batch of n took this long."""
        profiled_ms = self._times.mean_of(stage, n)
        if profiled_ms <= 0.0:
            return
        ratio = measured_ms / profiled_ms
        whole, own = self._lanes[lane], self._stages[lane][stage]
        whole.note(ratio)
        own.note(ratio)
        factor = self._shrunk(own, whole)
        self._factors[lane][stage] = factor
        late = measured_ms > self._times.upper_of(stage, n) * factor * self._margins[lane][stage]
        margin = self._margins[lane][stage] + _STEP * (float(late) - self._miss)
        self._margins[lane][stage] = min(max(margin, 1.0), _MOST_MARGIN)
        self.overall = sum(lane_ratio.mean for lane_ratio in self._lanes) / len(self._lanes)

    def note_at_least(self, lane: int, stage: int, n: int, waited_ms: float) -> None:
        """A batch of n takes longer than this: what is known of a run that was not waited for."""
        if waited_ms > self._times.mean_of(stage, n) * self.factor(lane, stage):
            self.note(lane, stage, n, waited_ms)

    def factor(self, lane: int, stage: int) -> float:
        """What the profiled mean is to be multiplied with; 1 before the first run."""
        return self._factors[lane][stage]

    def upper(self, lane: int, stage: int) -> float:
        """What the profiled upper quantile is to be multiplied with."""
        return self._factors[lane][stage] * self._margins[lane][stage]

    def _shrunk(self, own: _Ratio, whole: _Ratio) -> float:
        share = own.n / (own.n + _SHRINKAGE)
        return share * own.mean + (1.0 - share) * whole.mean
