"""How a curve finds what writes its page.

The page belongs to a layer above, which core knows nothing of: whoever knows both hands the writer in. Loads nothing.
"""

from __future__ import annotations

from collections.abc import Callable

PageWriter = Callable[..., None]
"""Takes a `Frontier`, a path, and the keyword arguments of `Frontier.to_html`."""

_found: dict[str, Callable[[], PageWriter]] = {}


def hand_in(load: Callable[[], PageWriter]) -> None:
    """Say where the writer comes from; it is loaded when a page is wanted."""
    _found["page"] = load


def page_writer() -> PageWriter:
    """The writer that was handed in, which importing ``cascade`` does."""
    return _found["page"]()
