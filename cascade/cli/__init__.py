"""The command line: ``cascade COMMAND``."""

from cascade.cli.command_line import main

__all__ = ["main"]
