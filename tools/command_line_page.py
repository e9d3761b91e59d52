"""Write ``docs/command-line.md`` from the parser of the command line, so that the page says what ``--help`` says.

Run it with ``python -m tools.command_line_page``; a test fails while the page says something else.
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, _SubParsersAction
from pathlib import Path
from textwrap import dedent

from cascade.cli.arguments import build_parser

PAGE = Path("docs/command-line.md")
_ABOUT = """\
# Command line

<!-- Written by tools/command_line_page.py: edit the help texts in cascade/cli/, then run it again. -->

`cascade COMMAND`, or `python -m cascade COMMAND` where the script is not on the path. `cascade COMMAND --help` says the same as
this page.
"""


def page() -> str:
    """The page as Markdown: what holds for all commands, then each command with its arguments and examples."""
    parser = build_parser()
    parts = [_ABOUT, _after(parser)]
    parts += [_command(name, each) for name, each in _commands(parser).items()]
    return "\n".join(parts)


def _commands(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    (found,) = (action for action in parser._actions if isinstance(action, _SubParsersAction))
    return dict(found.choices)


def _command(name: str, parser: ArgumentParser) -> str:
    rows = [f"| {_written(action)} | {_meaning(action)} |" for action in parser._actions if action.dest != "help"]
    table = "\n".join(["| argument | meaning |", "|---|---|", *rows])
    return f"## cascade {name}\n\n{parser.description}\n\n{table}\n\n{_after(parser)}"


def _written(action: Action) -> str:
    """How the argument is typed."""
    choices = "" if action.choices is None else "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"`{action.metavar or choices or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or choices or action.dest.upper()}"
    return f"`{action.option_strings[-1]}{value}`".replace("|", "\\|")


def _meaning(action: Action) -> str:
    needed = "; required" if action.required and action.option_strings else ""
    return f"{action.help or ''}{needed}".replace("|", "\\|")


def _after(parser: ArgumentParser) -> str:
    """What follows the arguments in the help: words as words, what is indented as it stands."""
    return "\n".join(_paragraph(part) for part in (parser.epilog or "").strip().split("\n\n"))


def _paragraph(part: str) -> str:
    lines = part.splitlines()
    words, kept = ([line for line in lines if line.startswith("  ") is indented] for indented in (False, True))
    said = " ".join(words)
    if not kept:
        return f"{said}\n"
    language = "sh" if said == "examples:" else "text"
    block = dedent("\n".join(kept))
    return f"{said[0].upper()}{said[1:]}\n\n```{language}\n{block}\n```\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
