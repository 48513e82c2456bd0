"""Talking to the engine: connections, typed rows, and every statement we send."""

from pgdurable_core.engine.client import Client, Connection, connect, translated
from pgdurable_core.engine.rows import (
    AttemptRow,
    EngineRow,
    EventRow,
    InstanceRow,
    LateRow,
    LogRow,
    MissingConnectionRow,
    QueueRow,
    StepRow,
    WorkerRow,
    WorkflowRow,
)

__all__ = [
    "AttemptRow",
    "Client",
    "Connection",
    "EngineRow",
    "EventRow",
    "InstanceRow",
    "LateRow",
    "LogRow",
    "MissingConnectionRow",
    "QueueRow",
    "StepRow",
    "WorkerRow",
    "WorkflowRow",
    "connect",
    "translated",
]
