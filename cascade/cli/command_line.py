"""The entry point: reads the arguments, runs a command, and turns errors into one line and an exit status.

Loads a command's module, and what is heavy about it, only when that command runs.
"""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cascade.cli.arguments import build_parser
from cascade.errors import CascadeError, CascadeWarning

_FAILED = 2
# As shells report a process that SIGINT ended.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``cascade``; by default those of this process.

    Returns
    -------
    int
        The exit status: 0, or 2 after an error, which is one line on stderr.

    Raises
    ------
    SystemExit
        By argparse: for ``--help`` and ``--version``, and for arguments that it cannot read.
    """
    options = build_parser().parse_args(arguments)
    try:
        with _warnings_in_one_line():
            _run(options)
    except CascadeError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.strerror}: {error.filename}" if error.filename is not None else str(error))
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _run(options: Namespace) -> None:
    match options.command:
        case "certify":
            from cascade.cli.certify import run
        case "demo":
            from cascade.cli.demo import run
        case "fit":
            from cascade.cli.fit import run
        case "profile":
            from cascade.cli.profile import run
        case "simulate":
            from cascade.cli.simulate import run
        case _:
            from cascade.cli.explain import run
    run(options)


def _failed(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return _FAILED


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Warnings of this package without the line of code they came from, which means nothing to whoever types commands."""
    with warnings.catch_warnings():
        elsewhere = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, CascadeWarning):
                print(f"warning: {message}", file=sys.stderr)
            else:
                elsewhere(message, category, *rest, **named)

        warnings.simplefilter("always", CascadeWarning)
        warnings.showwarning = show
        yield
