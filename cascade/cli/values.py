"""What the words of an argument stand for. Light: loads nothing but argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from math import isfinite
from pathlib import Path


def new_file(text: str) -> Path:
    """A path to write to, checked before the work whose result would have nowhere to go."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise ArgumentTypeError(f"expected a file in a folder that exists, got {text!r}")
    return path


def numbers(text: str) -> tuple[float, ...]:
    """Numbers, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"expected numbers separated by commas, such as 0.3,2.1,9.0, got {text!r}") from error


def budget_shares(text: str) -> dict[float, float]:
    """Budgets in milliseconds with their shares: one number, or ``15:0.3,50:0.7``."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return {float(milliseconds): float(part) for milliseconds, part in pairs} if ":" in text else {float(text): 1.0}
    except ValueError as error:
        raise ArgumentTypeError(
            f"expected milliseconds, such as 50, or with shares 15:0.3,50:0.7, got {text!r}"
        ) from error


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isdecimal() and int(text) >= 1):
        raise ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def budget(text: str) -> float:
    """Milliseconds, not negative."""
    milliseconds = number(text)
    if not (isfinite(milliseconds) and milliseconds >= 0.0):
        raise ArgumentTypeError(f"expected milliseconds of at least 0, got {text!r}")
    return milliseconds


def share(text: str) -> float:
    """A number between 0 and 1."""
    part = number(text)
    if not 0.0 < part < 1.0:
        raise ArgumentTypeError(f"expected a share between 0 and 1, such as 0.25, got {text!r}")
    return part


def number(text: str) -> float:
    """Any number."""
    try:
        return float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a number, got {text!r}") from error


def thread_count(text: str) -> int | str:
    """A number of threads, or a word."""
    return int(text) if text.isdecimal() else text


def seed(text: str) -> int:
    """A whole number that seeds random numbers."""
    # The limit of the random number generators below.
    if not (text.isdecimal() and int(text) < 2**32):
        raise ArgumentTypeError(f"expected a whole number from 0 to 4294967295, got {text!r}")
    return int(text)
