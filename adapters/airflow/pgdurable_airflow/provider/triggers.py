"""Wait for an instance in Airflow's triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from pgdurable_airflow.provider import watching
from pgdurable_airflow.provider.attaching import Awaited
from pgdurable_airflow.provider.compat import (
    TRIGGERS_HEAR_OF_KILLS,
    BaseTrigger,
    TriggerEvent,
    has_left_deferral,
)
from pgdurable_airflow.provider.hooks import PgDurableHook
from pgdurable_airflow.provider.identity import ends
from pgdurable_core.errors import ConflictError, PgDurableError


class PgDurableTrigger(BaseTrigger):
    """Fire once, when an instance has ended, with everything in the event that the task needs to go on.

    `status` of the event is `ended` (the task reads how), `timeout` (execution_timeout passed) or `error` (the
    database could not be reached for ten minutes, or refused). All triggers of a triggerer that wait in one database
    share one connection. A restart of the triggerer, or a second one beside it, changes nothing: the instance is not
    touched, and the trigger looks anew. Only when somebody clears or marks the deferred task is the instance cancelled.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        instance_id: str,
        generation: int,
        refused_retries: int,
        try_number: int,
        cancels: bool,
        poll_interval: float,
        deadline: float | None = None,
        after_log: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.instance_id = instance_id
        self.generation = generation
        self.refused_retries = refused_retries
        self.try_number = try_number
        self.cancels = cancels
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.after_log = after_log

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and what makes the same trigger again; no secret is in it."""
        names = ("conn_id", "instance_id", "generation", "refused_retries", "try_number", "cancels")
        more = ("poll_interval", "deadline", "after_log")
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {name: getattr(self, name) for name in (*names, *more)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            yield TriggerEvent(await self._outcome())  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            if not TRIGGERS_HEAR_OF_KILLS and await has_left_deferral(self.task_instance):
                await self.on_kill()
            raise

    async def on_kill(self) -> None:
        """Cancel the instance: somebody cleared or marked the deferred task (Airflow 3.3 calls this, and only then)."""
        if not self.cancels:
            self.log.info("instance %s goes on", self.instance_id)
            return
        try:
            dsn = await PgDurableHook(self.conn_id).dsn_async()
            await watching.cancel(dsn, self.instance_id, ends(self.try_number))
        except ConflictError:
            return  # it has ended
        except PgDurableError as error:
            self.log.error("instance %s could not be cancelled: %s", self.instance_id, error.show())
            return
        self.log.info("instance %s is cancelled", self.instance_id)

    async def _outcome(self) -> dict[str, Any]:
        event: dict[str, Any] = {
            "conn_id": self.conn_id,
            "instance_id": self.instance_id,
            "after_log": self.after_log,
        }
        left = None if self.deadline is None else max(self.deadline - time.time(), 0.0)
        awaited = Awaited(self.instance_id, self.generation, self.refused_retries)
        try:
            async with asyncio.timeout(left):
                dsn = await PgDurableHook(self.conn_id).dsn_async()
                await watching.wait_for_end(dsn, awaited, self.poll_interval)
        except TimeoutError:
            return {"status": "timeout", **event}
        except PgDurableError as error:
            return {"status": "error", "message": error.show(), **event}
        except Exception as error:
            # An exception here would reach the task as nothing but "trigger failed".
            return {"status": "error", "message": f"{type(error).__name__}: {error}", **event}
        return {"status": "ended", **event}
