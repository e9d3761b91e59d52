"""Progress bars over long work, for those parts of the package that show one on request.

A bar stands on standard error, or in the notebook, and appears only after two seconds: short work stays quiet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")
_SHOWN_AFTER_S = 2.0


def with_progress(steps: Iterable[_T], progress: bool, *, desc: str, unit: str) -> Iterable[_T]:
    """The same steps, with a bar while they are taken, if that is wanted and the work is long."""
    if not progress:
        return steps
    bar: Iterable[_T] = _tqdm()(steps, desc=desc, unit=unit, delay=_SHOWN_AFTER_S, leave=False)
    return bar


@contextmanager
def progress_bar(n_steps: int, progress: bool, *, desc: str, unit: str) -> Iterator[Callable[[], object]]:
    """What moves a bar of so many steps on by one; nothing is shown unless that is wanted and the work is long."""
    if not progress:
        yield _nothing
        return
    with _tqdm()(total=n_steps, desc=desc, unit=unit, delay=_SHOWN_AFTER_S, leave=False) as bar:
        yield bar.update


def _tqdm() -> Any:
    """The kind of bar that suits a terminal or a notebook."""
    with warnings.catch_warnings():
        # In a notebook without ipywidgets it warns, and draws with characters: that serves as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def _nothing() -> None:
    """Nothing to show."""
