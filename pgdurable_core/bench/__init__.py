"""Measuring the engine: every figure is a ratio taken in one run on one server."""

from pgdurable_core.bench.chain import run_chain
from pgdurable_core.bench.fan_in import run_fan_in
from pgdurable_core.bench.figures import Report
from pgdurable_core.bench.place import Place, given_place, private_place
from pgdurable_core.bench.snapshot import run_snapshot

__all__ = ["Place", "Report", "given_place", "private_place", "run_chain", "run_fan_in", "run_snapshot"]
