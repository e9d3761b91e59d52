"""What becomes of engines when the process forks or ends.

Hooks are registered with the first engine, once per process; they know engines weakly.
"""

from __future__ import annotations

import atexit
import os
from typing import Protocol
from weakref import WeakSet


class Ending(Protocol):
    """What is told."""

    def renew(self) -> None:
        """Begin anew: in a child process no thread of the parent is there."""
        ...

    def end(self) -> None:
        """The interpreter ends."""
        ...


_known: WeakSet[Ending] = WeakSet()
_is_hooked = False


def watch(ending: Ending) -> None:
    """Tell it of forks, and of the end of the interpreter."""
    global _is_hooked  # noqa: PLW0603 - hooks belong to the process, and cannot be taken back
    _known.add(ending)
    if not _is_hooked:
        _is_hooked = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_renew_all)
        atexit.register(_end_all)


def _renew_all() -> None:
    for ending in list(_known):
        ending.renew()


def _end_all() -> None:
    for ending in list(_known):
        ending.end()
