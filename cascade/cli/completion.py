"""``cascade completion``: what lets a shell complete the commands, their options and the names of files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path

from cascade.cli.arguments import build_parser
from cascade.cli.values import new_file
from cascade.errors import MissingExtra


def run(options: Namespace) -> None:
    """Print the script for the shell.

    Raises
    ------
    MissingExtra
        If shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise MissingExtra(
            "expected shtab, which writes completions, got none installed: pip install 'cascade-inference[completion]'"
        ) from error
    parser = build_parser()
    _complete_paths(parser, file=shtab.FILE, folder=shtab.DIRECTORY)
    print(shtab.complete(parser, shell=options.shell))


def _complete_paths(parser: ArgumentParser, *, file: object, folder: object) -> None:
    """Say of every argument that is a path what the shell offers for it."""
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for each in action.choices.values():
                _complete_paths(each, file=file, folder=folder)
        elif action.type in {Path, new_file}:
            action.complete = folder if action.metavar == "DIR" else file  # type: ignore[attr-defined]  # read by shtab
