"""The command line: ``cascade demo | fit | profile | explain``."""

from cascade.cli.command_line import main

__all__ = ["main"]
