"""A progress bar over long work, for those parts of the package that show one on request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")


def with_progress(steps: Iterable[_T], progress: bool, *, desc: str, unit: str) -> Iterable[_T]:
    """The same steps, with a bar on standard error while they are taken, if that is wanted and the work is long."""
    if not progress:
        return steps
    from tqdm.auto import tqdm

    # Quiet for short work: the bar appears only after two seconds.
    bar: Iterable[_T] = tqdm(steps, desc=desc, unit=unit, delay=2.0, leave=False)
    return bar
