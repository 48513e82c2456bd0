"""The trigger as a triggerer runs it: made anew from what it serialised, restarted, killed."""

from __future__ import annotations

import time

import pytest
from airflow_process import AirflowProcess
from server import Database

from pgdurable_core.engine import Client

SLEEPER = "select df.create_workflow('sleeper', steps => array[df.step('a', 'select pg_sleep(2)')])"


@pytest.fixture
def arguments(client: Client) -> dict[str, object]:
    """What the operator hands to the trigger of an instance that runs two seconds."""
    client.connection.execute(SLEEPER)
    return {
        "conn_id": "pgdurable_default",
        "instance_id": client.start("sleeper"),
        "generation": 1,
        "refused_retries": 0,
        "try_number": 1,
        "cancels": True,
        "poll_interval": 0.2,
        "after_log": 7,
    }


def status(client: Client, arguments: dict[str, object]) -> str:
    return client.instance(str(arguments["instance_id"])).status


def test_its_event_holds_everything(
    airflow: AirflowProcess, client: Client, arguments: dict[str, object], worker: None
) -> None:
    assert airflow.ask("trigger", arguments=arguments) == {
        "status": "ended",
        "conn_id": "pgdurable_default",
        "instance_id": arguments["instance_id"],
        "after_log": 7,
    }
    assert status(client, arguments) == "completed"


def test_a_restart_of_the_triggerer_cancels_nothing_and_the_next_one_sees_the_end(
    airflow: AirflowProcess, client: Client, arguments: dict[str, object], worker: None
) -> None:
    assert airflow.ask("trigger", arguments=arguments, after=0.5) is None
    assert status(client, arguments) == "running"
    assert airflow.ask("trigger", arguments=arguments)["status"] == "ended"
    assert status(client, arguments) == "completed"


def test_somebody_who_clears_or_marks_the_deferred_task_cancels_the_instance(
    airflow: AirflowProcess, client: Client, arguments: dict[str, object], worker: None
) -> None:
    assert airflow.ask("trigger", arguments=arguments, after=0.5, kill=True) is None
    deadline = time.monotonic() + 10
    while status(client, arguments) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status(client, arguments) == "cancelled"
    (event,) = (each for each in client.events(str(arguments["instance_id"])) if each.kind == "cancel")
    assert event.reason == "Airflow ended try 1"


def test_an_instance_that_is_to_be_left_is_left(
    airflow: AirflowProcess, client: Client, arguments: dict[str, object], worker: None
) -> None:
    assert airflow.ask("trigger", arguments={**arguments, "cancels": False}, after=0.5, kill=True) is None
    assert airflow.ask("trigger", arguments=arguments)["status"] == "ended"
    assert status(client, arguments) == "completed"


def test_a_deadline_is_an_event_of_its_own(airflow: AirflowProcess, arguments: dict[str, object]) -> None:
    event = airflow.ask("trigger", arguments={**arguments, "deadline": time.time() + 0.5})
    assert event["status"] == "timeout"


def test_many_deferred_tasks_share_a_connection(
    airflow: AirflowProcess, arguments: dict[str, object], worker: None
) -> None:
    assert airflow.ask("many_triggers", arguments=arguments, count=5) == [1, ["ended"] * 5, 0]


def test_what_goes_wrong_is_an_event_that_says_it(
    airflow: AirflowProcess, arguments: dict[str, object], empty_database: Database
) -> None:
    assert airflow.ask("trigger", arguments={**arguments, "conn_id": "unheard_of"})["message"] == (
        "AirflowNotFoundException: The conn_id `unheard_of` isn't defined"
    )
    airflow.ask("environ", AIRFLOW_CONN_EMPTY=f"pgdurable:///{empty_database.name}?host=/nowhere&colour=blue")
    event = airflow.ask("trigger", arguments={**arguments, "conn_id": "empty"})
    assert (event["status"], event["message"].splitlines()[0]) == (
        "error",
        'the Extra of connection empty is not libpq\'s: invalid connection option "colour"',
    )
