"""Start or find the instance of a task's run, in one transaction, so that no moment is left to start it twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgdurable_airflow.provider.identity import TaskRun, ended_try, tries_known
from pgdurable_core.engine import Client, ProgressRow
from pgdurable_core.errors import ConflictError, NotFoundError
from pgdurable_core.graph.model import JsonValue

How = Literal["started", "attached", "continued", "ended"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a task wants run: a workflow by name, with its definition where the task brings its own."""

    workflow: str
    namespace: str
    params: Mapping[str, JsonValue]
    logical_date: datetime | None = None
    document: Mapping[str, JsonValue] | None = None
    result_step: str | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """The end that is waited for: after a retry was asked for, the old end of the same instance is not it."""

    instance_id: str
    generation: int
    refused_retries: int

    def has_come(self, row: ProgressRow) -> bool:
        """Say whether this end has come, or the retry that should lead to it was refused."""
        return row.is_finished and (row.generation >= self.generation or row.refused_retries > self.refused_retries)


@dataclass(frozen=True, slots=True)
class Attachment:
    awaited: Awaited
    how: How


def attach(client: Client, order: Order, run: TaskRun) -> Attachment:
    """Return the instance of this run of the task, started if there is none.

    * There is none, or the task was cleared after its instance had completed: one is started.
    * It is under way: nothing is done; whoever started it was an earlier try whose worker is lost.
    * It failed or was cancelled: it is continued from what did not succeed. Airflow runs a task again for a retry or
      a clear, and in both cases the old failure is what it does not want to hear.
    * It completed, and the task was not cleared since: nothing is run; its result was lost on the way to Airflow.

    That a task was cleared is seen from `max_tries`: a clear raises it, a retry, a lost worker and a changed
    `retries` in the DAG file do not. Each start and retry leaves its own in the engine, as its reason.

    A purged instance counts as one that completed before the clear; without a clear it is refused.

    Raises ConflictError where the instance was purged and the task was never cleared, NotFoundError where the
    workflow has no step `result_step`; then nothing was done.
    """
    with client.connection.transaction():
        if order.document is not None:
            client.define(order.workflow, order.document, order.namespace, run.asks)
        row = _start_or_find(client, order, run)
        _look_for_step(client, row.instance_id, order)
        if row.status in ("failed", "cancelled") or row.is_cancelling:
            return Attachment(continue_from_failure(client, row, run), "continued")
        how: How = "ended" if row.is_finished else "started" if row.is_new else "attached"
        return Attachment(Awaited(row.instance_id, row.generation, row.refused_retries), how)


def continue_from_failure(client: Client, row: ProgressRow, run: TaskRun) -> Awaited:
    """Ask for a retry and return the end to wait for, which is not the one that the instance has now."""
    client.retry(row.instance_id, run.asks)
    return Awaited(row.instance_id, row.generation + 1, row.refused_retries)


def was_ended_by_earlier_try(client: Client, instance_id: str, run: TaskRun) -> bool:
    """Say whether the last cancel was the end of an earlier try, which arrived after this one had attached.

    A triggerer notices that a deferred task was cleared when the next try may be under way already.
    """
    cancels = [event.reason for event in client.events(instance_id) if event.kind == "cancel"]
    ended = ended_try(cancels[-1]) if cancels else None
    return ended is not None and ended < run.try_number


def _start_or_find(client: Client, order: Order, run: TaskRun) -> ProgressRow:
    """Go through the instances of this run of the task to the one that counts; each was started for a clear."""
    for number in itertools.count(1):
        instance_id = client.start(
            order.workflow,
            params=order.params,
            logical_date=order.logical_date,
            run_key=run.key(number),
            reason=run.asks,
            namespace=order.namespace,
        )
        row = client.progress([instance_id]).get(instance_id)
        if row is None and not run.was_ever_cleared:
            raise ConflictError(
                f"instance {instance_id} of run key {run.key(number)} was purged; how it ended is not known any more",
                hint="Clear the task to run it again.",
            )
        if row is not None and not (row.status == "completed" and _was_cleared_since(client, instance_id, run)):
            return row
    raise AssertionError("the numbers do not end")


def _was_cleared_since(client: Client, instance_id: str, run: TaskRun) -> bool:
    reasons = [event.reason for event in client.events(instance_id) if event.kind == "retry"]
    known = tries_known([client.instance(instance_id).reason, *reasons])
    return known is not None and run.max_tries > known


def _look_for_step(client: Client, instance_id: str, order: Order) -> None:
    if order.result_step is None:
        return
    keys = list(dict.fromkeys(step.key for step in client.steps(instance_id)))
    if order.result_step not in keys:
        raise NotFoundError(
            f"workflow {order.workflow} has no step {order.result_step!r} to take the result from",
            hint=f"Its steps: {', '.join(keys)}",
        )
