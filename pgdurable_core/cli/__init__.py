"""The command line: one file per command group, exit statuses in one table (`exits.py`)."""

import sys
from typing import NoReturn

from pgdurable_core.cli import exits


def main() -> NoReturn:
    """Run the command line and exit with a status of `exits.py`; Ctrl-C is quiet from the first import on."""
    try:
        from pgdurable_core.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = exits.INTERRUPTED
    sys.exit(status)


__all__ = ["main"]
