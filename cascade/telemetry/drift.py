"""Whether what is served has drifted from what it was, told without labels: by the paths taken and the confidences.

Pure but for the monitor, which keeps two windows of answers; its owner serialises the calls.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov

from cascade.core.records import FloatArray
from cascade.core.replay import Replay
from cascade.errors import ConfigurationError

MIN_ANSWERS = 100
"""Fewer answers than this on either side say too little."""
_MIN_EXPECTED = 5.0
"""Paths with fewer expected answers on either side are taken together (Cochran's rule)."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Paths and confidences of some answers.

    Attributes
    ----------
    path_counts : mapping from tuple of str to int
    confidence : ndarray, shape (n,)
    """

    path_counts: Mapping[Path, int]
    confidence: FloatArray

    @classmethod
    def of(cls, answers: Iterable[tuple[Path, float]]) -> Self:
        """The same, from one path and confidence for each answer."""
        pairs = list(answers)
        return cls(Counter(path for path, _ in pairs), np.array([trust for _, trust in pairs], np.float64))

    @classmethod
    def of_replay(cls, replay: Replay) -> Self:
        """The same, of recorded outcomes."""
        return cls(replay.path_counts, replay.confidence)

    @property
    def n(self) -> int:
        """Number of answers."""
        return len(self.confidence)

    def shares(self) -> dict[Path, float]:
        """Share of the answers by path, the most frequent first."""
        by_count = sorted(self.path_counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return {path: count / self.n for path, count in by_count}


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Whether recent answers come as the reference ones did.

    Attributes
    ----------
    n_reference, n_recent : int
        Answers compared.
    p_paths : float
        p-value of one distribution of paths (chi-square); 1 where there are too few answers.
    p_confidence : float
        p-value of one distribution of confidences (Kolmogorov-Smirnov); 1 where there are too few answers.
    alpha : float
        Probability of a false alarm of one report.
    reference_shares, recent_shares : mapping from tuple of str to float
        Share of the answers by path.
    reference_confidence, recent_confidence : float
        Mean confidence; nan where there are no answers.
    """

    n_reference: int
    n_recent: int
    p_paths: float
    p_confidence: float
    alpha: float
    reference_shares: Mapping[Path, float]
    recent_shares: Mapping[Path, float]
    reference_confidence: float
    recent_confidence: float

    @property
    def has_enough(self) -> bool:
        """Whether there are answers enough to tell anything."""
        return min(self.n_reference, self.n_recent) >= MIN_ANSWERS

    @property
    def is_drifted(self) -> bool:
        """Whether either test rejects at half of ``alpha``."""
        return self.has_enough and min(self.p_paths, self.p_confidence) <= 0.5 * self.alpha

    def explain(self) -> str:
        """The report in words."""
        if not self.has_enough:
            return (
                f"Too few answers to tell: {self.n_recent} recent and {self.n_reference} reference ones, of at least "
                f"{MIN_ANSWERS} each."
            )
        verdict = "Answers come otherwise than before" if self.is_drifted else "No drift shows"
        return (
            f"{verdict}: paths p = {self.p_paths:.2g}, confidences p = {self.p_confidence:.2g} (mean "
            f"{self.reference_confidence:.3f} before, {self.recent_confidence:.3f} now), each against {0.5 * self.alpha:.2g}, "
            f"over {self.n_recent} recent and {self.n_reference} reference answers; a report raises a false alarm with "
            f"probability {self.alpha:.2g}."
        )

    def __str__(self) -> str:
        return self.explain()


def drift_report(reference: Answered, recent: Answered, alpha: float = 0.01) -> DriftReport:
    """Compare two sets of answers by their paths and by their confidences.

    Parameters
    ----------
    reference, recent : Answered
    alpha : float
        Probability of a false alarm, in (0, 1); each of the two tests gets half of it (Bonferroni).

    Raises
    ------
    ConfigurationError
        If ``alpha`` is not in (0, 1).

    Notes
    -----
    Both tests take answers as independent, and one report as the only one: who looks k times raises up to k times the
    false alarms. Confidences that repeat make the second test alarm less often.

    References
    ----------
    Cochran (1954), Some methods for strengthening the common chi-square tests.
    Smirnov (1948), Table for estimating the goodness of fit of empirical distributions.

    Examples
    --------
    >>> before = Answered({("small",): 900, ("small", "big"): 100}, np.linspace(0.5, 1.0, 1000))
    >>> now = Answered({("small",): 700, ("small", "big"): 300}, np.linspace(0.4, 1.0, 1000))
    >>> drift_report(before, now).is_drifted, drift_report(before, before).is_drifted
    (True, False)
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigurationError(f"expected alpha between 0 and 1, both excluded, got {alpha}")
    p_paths = p_confidence = 1.0
    if min(reference.n, recent.n) >= MIN_ANSWERS:
        p_paths = _chi_square_p_value(_count_table(reference, recent))
        p_confidence = _smirnov_p_value(reference.confidence, recent.confidence)
    means = [float(side.confidence.mean()) if side.n else float("nan") for side in (reference, recent)]
    return DriftReport(
        reference.n, recent.n, p_paths, p_confidence, alpha, reference.shares(), recent.shares(), means[0], means[1]
    )


class DriftMonitor:
    """The first answers and the latest ones.

    Parameters
    ----------
    window : int
        Answers in either.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.restart()

    def restart(self) -> None:
        """Forget all, as under another policy answers come otherwise."""
        self._first: deque[tuple[Path, float]] = deque(maxlen=self.window)
        self._recent: deque[tuple[Path, float]] = deque(maxlen=self.window)
        self._current = self._first

    @property
    def n_missing(self) -> int:
        """Answers still to come before the reference is complete."""
        return self.window - len(self._first)

    def note(self, path: Path, confidence: float) -> None:
        """One more answer."""
        current = self._current
        current.append((path, confidence))
        if current is self._first and len(current) == self.window:
            self._current = self._recent

    def report(self, reference: Replay | None, alpha: float) -> DriftReport:
        """The latest answers against a replay; None: against the first ones."""
        if reference is None:
            return drift_report(Answered.of(self._first), Answered.of(self._recent), alpha)
        latest = list(chain(self._first, self._recent))[-self.window :]
        return drift_report(Answered.of_replay(reference), Answered.of(latest), alpha)


def _count_table(reference: Answered, recent: Answered) -> NDArray[np.float64]:
    """Answers by side and path, shape (2, m); rare paths are taken together."""
    paths = sorted({*reference.path_counts, *recent.path_counts})
    table = np.array([[side.path_counts.get(path, 0) for path in paths] for side in (reference, recent)], np.float64)
    totals = table.sum(axis=0)
    table = table[:, np.argsort(totals, kind="stable")]
    share = min(reference.n, recent.n) / (reference.n + recent.n)
    # The rarest are taken together until the group is large enough; it may swallow one path that is.
    expected = np.cumsum(table.sum(axis=0)) * share
    first = int(np.searchsorted(expected, _MIN_EXPECTED))
    if first >= table.shape[1]:
        return np.asarray(table.sum(axis=1, keepdims=True))
    rare, others = table[:, : first + 1].sum(axis=1, keepdims=True), table[:, first + 1 :]
    return np.concatenate([rare, others], axis=1)


def _chi_square_p_value(table: NDArray[np.float64]) -> float:
    """p-value of one distribution over the columns in both rows."""
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _smirnov_p_value(a: FloatArray, b: FloatArray) -> float:
    """Asymptotic p-value of one continuous distribution behind both samples."""
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    gap = np.abs(
        np.searchsorted(a, both, side="right") / len(a) - np.searchsorted(b, both, side="right") / len(b)
    ).max()
    return float(kolmogorov(np.sqrt(len(a) * len(b) / (len(a) + len(b))) * gap))
