"""``python -m cascade``: the command line without the script that the installation makes."""

import sys

from cascade.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
