"""Talking to the engine: connections, typed rows, and every statement we send."""

from pgdurable_core.engine.client import Client, Connection, connect, translated
from pgdurable_core.engine.rows import (
    AttemptRow,
    CheckRow,
    EngineRow,
    EventRow,
    InstanceRow,
    LateRow,
    LogRow,
    MissingConnectionRow,
    PurgeableRow,
    Purged,
    QueueRow,
    RenderedRow,
    RunKeyRow,
    StepRow,
    WorkerRow,
    WorkflowRow,
)

__all__ = [
    "AttemptRow",
    "CheckRow",
    "Client",
    "Connection",
    "EngineRow",
    "EventRow",
    "InstanceRow",
    "LateRow",
    "LogRow",
    "MissingConnectionRow",
    "PurgeableRow",
    "Purged",
    "QueueRow",
    "RenderedRow",
    "RunKeyRow",
    "StepRow",
    "WorkerRow",
    "WorkflowRow",
    "connect",
    "translated",
]
