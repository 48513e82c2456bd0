"""Waiting in a worker: the end is seen, a lost connection is made anew, and the task log hears what happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pgdurable_airflow.provider import waiting
from pgdurable_airflow.provider.attaching import Awaited
from pgdurable_airflow.provider.waiting import Telling, wait_in_place
from server import Database

from pgdurable_core.engine import Client
from pgdurable_core.errors import DatabaseUnavailableError

LOUD = """
select df.create_workflow('loud', steps => array[
  df.step('said', $$do 'begin for n in 1 .. 5 loop raise notice ''line %%'', n; end loop; end'$$),
  df.step('failed', 'select 1/0', after => '{said}')])
"""


class Lines(list[str]):
    """A log that keeps its lines."""

    def info(self, message: str, /, *args: object) -> None:
        self.append(message % args)

    warning = info


@pytest.fixture
def awaited(client: Client) -> Awaited:
    client.connection.execute(LOUD.replace("%%", "%"))
    return Awaited(client.start("loud"), 1, 0)


def wait(
    database: Database, awaited: Awaited, lines: Lines, until: float | None = None, pids: list[int] | None = None
) -> bool:
    @contextmanager
    def connect() -> Iterator[Client]:
        with database.connect() as connection:
            if pids is not None:
                pids.append(connection.info.backend_pid)
            yield Client(connection)

    return wait_in_place(connect, awaited, until, 0.2, Telling(lines, awaited.instance_id, 0))


def test_it_gives_up_at_its_time_and_tells_that_nobody_works(database: Database, awaited: Awaited) -> None:
    lines = Lines()
    began = time.monotonic()
    assert wait(database, awaited, lines, began + 1) is False
    assert 1 <= time.monotonic() - began < 5
    assert [line.split(":")[0] for line in lines] == ["no worker is alive in this database"]


def test_an_instance_that_is_gone_is_an_end(database: Database, awaited: Awaited) -> None:
    assert wait(database, Awaited("000000000000", 1, 0), Lines()) is True


def test_a_connection_that_breaks_is_made_anew_and_told(database: Database, awaited: Awaited) -> None:
    pids: list[int] = []

    def break_and_work() -> None:
        time.sleep(0.4)
        assert database.execute(f"select pg_terminate_backend({pids[0]})") == [(True,)]
        database.execute("call df.work()")

    lines = Lines()
    beside = threading.Thread(target=break_and_work)
    beside.start()
    assert wait(database, awaited, lines, pids=pids) is True
    beside.join()
    assert len(pids) == 2
    assert [line.split(":")[0] for line in lines][:1] == ["the database cannot be reached, and is waited for"]


def test_a_server_that_stays_away_is_not_waited_for_for_ever(
    database: Database, awaited: Awaited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOST_SECONDS", 0.3)

    @contextmanager
    def nobody() -> Iterator[Client]:
        raise DatabaseUnavailableError("connection refused")
        yield

    with pytest.raises(DatabaseUnavailableError):
        wait_in_place(nobody, awaited, None, 0.1, Telling(Lines(), awaited.instance_id, 0))


def test_every_line_is_told_once_also_over_pages(
    database: Database, client: Client, awaited: Awaited, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait(database, awaited, Lines())
    monkeypatch.setattr(waiting, "LOG_PAGE", 2)
    lines = Lines()
    telling = Telling(lines, awaited.instance_id, 0)
    telling.tell_end(client, client.steps(awaited.instance_id))
    spoken = [f"said: NOTICE: line {number}" for number in range(1, 6)]
    assert lines == [*spoken, "completed       said  0 rows", "failed          failed  22012 division by zero"]
    Telling(lines, awaited.instance_id, telling.after_log).tell(client)
    assert len(lines) == 7


def test_a_log_without_end_is_cut_and_says_where_the_rest_is(
    database: Database, client: Client, awaited: Awaited, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait(database, awaited, Lines())
    monkeypatch.setattr(waiting, "LOG_PAGE", 2)
    monkeypatch.setattr(waiting, "MOST_LOG_LINES", 4)
    lines = Lines()
    telling = Telling(lines, awaited.instance_id, 0)
    for _ in range(3):
        telling.tell(client)
    spoken = [f"said: NOTICE: line {number}" for number in range(1, 5)]
    assert lines == [*spoken, f"more is in pgdurable logs {awaited.instance_id}"]
