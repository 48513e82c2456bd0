"""Durable orchestration inside PostgreSQL. The public names of the core; everything else is a room's own."""

from pgdurable_core.errors import DocumentError, PgDurableError, Problem
from pgdurable_core.graph.document import dump_graph, graph_hash, load_graph
from pgdurable_core.graph.model import Graph, Step

__all__ = ["DocumentError", "Graph", "PgDurableError", "Problem", "Step", "dump_graph", "graph_hash", "load_graph"]
