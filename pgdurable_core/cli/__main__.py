"""`python -m pgdurable_core.cli`: the same as the command `pgdurable`."""

from pgdurable_core.cli import main

main()
