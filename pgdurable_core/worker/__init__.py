"""Running the engine: SQL sessions, executors for python, shell and session SQL, heartbeat and watchdog."""

from pgdurable_core.worker.options import SlotStatus, WorkerEvent, WorkerOptions, WorkerStatus
from pgdurable_core.worker.process import run_worker
from pgdurable_core.worker.supervisor import Worker

__all__ = ["SlotStatus", "Worker", "WorkerEvent", "WorkerOptions", "WorkerStatus", "run_worker"]
