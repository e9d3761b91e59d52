"""The entry point: reads the arguments, runs a command, and turns errors into one line and an exit status.

Loads a command's module, and what is heavy about it, only when that command runs.
"""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cascade.cli.arguments import build_parser
from cascade.errors import CascadeError, CascadeWarning, NotCertifiable, Regression

_CHECK_FAILED, _FAILED = 1, 2
# As shells report a process that SIGINT ended.
_INTERRUPTED = 130
# As shells report a process that wrote to a pipe nobody reads.
_UNREAD = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``cascade``; by default those of this process.

    Returns
    -------
    int
        The exit status: 0; 1 if a check failed, or 2 after an error, either with one line on stderr; 130 if interrupted.

    Raises
    ------
    SystemExit
        By argparse: for ``--help`` and ``--version``, and for arguments that it cannot read.
    """
    options = build_parser().parse_args(arguments)
    try:
        with _warnings_in_one_line():
            _run(options)
        sys.stdout.flush()
    except (NotCertifiable, Regression) as error:
        return _failed(str(error), _CHECK_FAILED)
    except CascadeError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # What is still to be written when the interpreter ends would fail once more, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    except OSError as error:
        return _failed(f"{error.strerror}: {error.filename}" if error.filename is not None else str(error))
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _run(options: Namespace) -> None:
    match options.command:
        case "bench":
            from cascade.cli.bench import run
        case "certify":
            from cascade.cli.certify import run
        case "completion":
            from cascade.cli.completion import run
        case "demo":
            from cascade.cli.demo import run
        case "explore":
            from cascade.cli.explore import run
        case "fit":
            from cascade.cli.fit import run
        case "profile":
            from cascade.cli.profile import run
        case "simulate":
            from cascade.cli.simulate import run
        case _:
            from cascade.cli.explain import run
    run(options)


def _failed(message: str, status: int = _FAILED) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


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
