"""Talking to the engine: connections, typed rows, and every statement we send."""

from pgdurable_core.engine.client import DEFAULT_NAMESPACE, Client, Connection, connect, conninfo, translate, translated
from pgdurable_core.engine.rows import (
    AttemptRow,
    EngineRow,
    EventRow,
    InstanceRow,
    LateRow,
    LogRow,
    ProgressRow,
    QueueRow,
    StepRow,
    WorkerRow,
    WorkflowRow,
)

__all__ = [
    "DEFAULT_NAMESPACE",
    "AttemptRow",
    "Client",
    "Connection",
    "EngineRow",
    "EventRow",
    "InstanceRow",
    "LateRow",
    "LogRow",
    "ProgressRow",
    "QueueRow",
    "StepRow",
    "WorkerRow",
    "WorkflowRow",
    "connect",
    "conninfo",
    "translate",
    "translated",
]
