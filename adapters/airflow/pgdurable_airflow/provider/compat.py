"""Airflow's names where the versions keep them: 3.3 in its task SDK, 2.10 and 2.11 in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgdurable_core.errors import MissingDependencyError

try:
    import airflow
except ModuleNotFoundError as missing:
    if missing.name != "airflow":
        raise
    raise MissingDependencyError(
        "pgdurable_airflow.provider runs inside Apache Airflow, which is not installed here",
        hint="pip install 'pgdurable[airflow]', or install pgdurable where Airflow is",
    ) from missing

AIRFLOW_3 = int(airflow.__version__.split(".")[0]) >= 3

if TYPE_CHECKING or AIRFLOW_3:
    from airflow.sdk import BaseHook, BaseOperator, Connection
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
    from airflow.triggers.base import BaseTrigger, TriggerEvent
else:
    from airflow.configuration import conf
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
    from airflow.hooks.base import BaseHook
    from airflow.models import BaseOperator, Connection
    from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = [
    "AIRFLOW_3",
    "TRIGGERS_HEAR_OF_KILLS",
    "AirflowException",
    "AirflowFailException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseTrigger",
    "Connection",
    "TriggerEvent",
    "conf",
    "get_connection_async",
    "has_left_deferral",
]

# From 3.3 on Airflow calls a trigger's on_kill when somebody clears or marks its task, and only then.
TRIGGERS_HEAR_OF_KILLS = hasattr(BaseTrigger, "on_kill")


async def get_connection_async(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Return a connection and its extra from inside a triggerer, whose loop a synchronous look-up could lock up."""
    try:
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
    except ImportError:  # older than common-compat 1.14, as with most installations of Airflow 2
        from asgiref.sync import sync_to_async

        connection = await sync_to_async(BaseHook.get_connection)(conn_id)
        return connection, connection.extra_dejson
    connection = await get_async_connection(conn_id)
    return connection, await get_async_extra_dejson(connection)


async def has_left_deferral(task_instance: Any) -> bool:
    """Say whether a trigger of Airflow 2 is cancelled because somebody cleared or marked its task.

    A triggerer that restarts cancels its triggers too, and then the task is deferred as before.
    """
    if AIRFLOW_3 or task_instance is None:
        return False
    from asgiref.sync import sync_to_async

    return bool(await sync_to_async(_state_of)(task_instance) != "deferred")


def _state_of(task_instance: Any) -> str | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = (
            session.query(TaskInstance.state)
            .filter_by(
                dag_id=task_instance.dag_id,
                task_id=task_instance.task_id,
                run_id=task_instance.run_id,
                map_index=task_instance.map_index,
            )
            .one_or_none()
        )
    return None if found is None or found[0] is None else str(found[0])
