"""The command line: one file per command group, exit statuses in one table (`exits.py`)."""

from pgdurable_core.cli.app import main

__all__ = ["main"]
