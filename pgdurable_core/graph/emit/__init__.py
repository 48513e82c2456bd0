"""Graph -> text for people and programs: the SQL file, Mermaid, DOT, an ASCII picture."""

from pgdurable_core.graph.emit.dot import emit_dot
from pgdurable_core.graph.emit.mermaid import emit_mermaid
from pgdurable_core.graph.emit.picture import draw
from pgdurable_core.graph.emit.sql import Notes, emit_sql
from pgdurable_core.graph.emit.trailer import FileState, Trailer, file_state, read_trailer, was_edited

__all__ = [
    "FileState",
    "Notes",
    "Trailer",
    "draw",
    "emit_dot",
    "emit_mermaid",
    "emit_sql",
    "file_state",
    "read_trailer",
    "was_edited",
]
