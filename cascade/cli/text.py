"""What a command prints: tables, short numbers, and lines that say how long each phase took."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cascade.clock import Clock


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Rows of text in aligned columns.

    Parameters
    ----------
    header : sequence of c strings
    rows : sequence of rows of c strings
        An empty row leaves a blank line.
    right : frozenset of int
        Columns aligned to the right.

    Examples
    --------
    >>> print(text_table(["stage", "ms"], [["small", "0.2"], ["big", "11"]], right=frozenset({1})))
    stage   ms
    ----------
    small  0.2
    big     11
    """
    widths = [max(len(row[i]) for row in [header, *rows] if row) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "-" * max(len(line(row)) for row in [header, *rows] if row)
    return "\n".join([line(header), rule, *(line(row) if row else "" for row in rows)])


def short(value: float) -> str:
    """A number with three significant digits and no exponent.

    Examples
    --------
    >>> short(0.0123456), short(2.5), short(1234.5)
    ('0.0123', '2.50', '1234')
    """
    if not value:
        return "0"
    digits = 0
    while digits < 6 and abs(value) * 10**digits < 99.95:
        digits += 1
    return f"{value:.{digits}f}"


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage.

    Examples
    --------
    >>> percent(0.125)
    '12.5 %'
    """
    return f"{100.0 * share:.{decimals}f} %"


def path_mix(shares: Mapping[str, float], n_shown: int = 3) -> str:
    """The most frequent paths with their shares, the others summed.

    Examples
    --------
    >>> path_mix({"small": 0.9, "small > big": 0.1})
    'small 90 %, small > big 10 %'
    """
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    parts = [f"{path or 'no stage'} {percent(share, 0)}" for path, share in ordered[:n_shown]]
    if rest := ordered[n_shown:]:
        parts.append(f"{len(rest)} other {percent(sum(share for _, share in rest), 0)}")
    return ", ".join(parts)


class Phases:
    """How long the parts of a long command took, said on stderr as each one begins and ends.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a phase; it counts only if it ends without an error."""
        print(f"{name} ...", file=sys.stderr, flush=True)
        start_ms = self._clock.now_ms()
        yield
        self.seconds[name] = (self._clock.now_ms() - start_ms) / 1000.0
        print(f"{name}: {self.seconds[name]:.1f} s", file=sys.stderr, flush=True)
