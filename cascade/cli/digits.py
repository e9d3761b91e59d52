"""Scikit-learn's handwritten digits in three disjoint parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

N_CALIBRATION = 500
N_HELD_OUT = 600
_BRIGHTEST = 16.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images and their digits.

    Attributes
    ----------
    images : ndarray of float32, shape (n, 8, 8)
        Brightness in [0, 1].
    labels : ndarray of int64, shape (n,)
        The digit, 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Digits:
    """The 1797 images, each in one part only: to train on, to fit the policy on, to report on."""

    train: Labelled
    calibration: Labelled
    held_out: Labelled

    def sizes(self) -> dict[str, int]:
        """Number of images in each part."""
        return {"train": len(self.train), "calibration": len(self.calibration), "held_out": len(self.held_out)}


def split_digits(seed: int) -> Digits:
    """The digits, shuffled by the seed and split so that each part has every digit in the same share.

    Examples
    --------
    >>> split_digits(0).sizes()
    {'train': 697, 'calibration': 500, 'held_out': 600}
    """
    raw = load_digits()
    images, labels = (raw.images / _BRIGHTEST).astype(np.float32), raw.target.astype(np.int64)
    rest, held_out = _split(np.arange(len(labels)), labels, N_HELD_OUT, seed)
    train, calibration = _split(rest, labels, N_CALIBRATION, seed)
    return Digits(*(Labelled(images[rows], labels[rows]) for rows in (train, calibration, held_out)))


def _split(
    rows: NDArray[np.int64], labels: NDArray[np.int64], n_second: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = train_test_split(rows, test_size=n_second, stratify=labels[rows], random_state=seed)
    return first, second
