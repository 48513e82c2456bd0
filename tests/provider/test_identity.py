"""Run keys and names: one for every run of every task, fit for the engine, readable where they can be."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from pgdurable_airflow.provider.identity import TaskRun, ended_try, ends, tries_known

from pgdurable_core.engine import Client

IDS = st.text(min_size=1, max_size=250)
RUNS = st.builds(
    TaskRun,
    IDS,
    IDS,
    IDS,
    st.integers(-1, 5),
    try_number=st.integers(1, 9),
    max_tries=st.integers(0, 9),
    retries=st.just(0),
)
# df._start's rule, which the engine tests for itself below.
ALLOWED = re.compile(r"(?!.*--)[A-Za-z0-9_.:+@~=/ -]{1,1000}")


def run_of(dag: str, run: str, task: str, index: int = -1, tries: int = 1, most: int = 0) -> TaskRun:
    return TaskRun(dag, run, task, index, tries, most, 0)


def what(run: TaskRun) -> tuple[str, str, str, int]:
    return (run.dag_id, run.run_id, run.task_id, run.map_index)


def test_a_key_is_read_by_people() -> None:
    run = run_of("orders", "scheduled__2026-11-21T06:00:00+00:00", "stage.load", 3)
    assert run.key() == "orders/scheduled__2026-11-21T06:00:00+00:00/stage.load/3"
    assert run.key(2) == "orders/scheduled__2026-11-21T06:00:00+00:00/stage.load/3@2"
    assert run_of("a/b", "x--y", "Größe").key() == "a~2Fb/x-~2Dy/Gr~C3~B6~C3~9Fe"


@given(RUNS, st.integers(1, 3))
def test_every_key_is_one_that_the_engine_takes(run: TaskRun, number: int) -> None:
    assert ALLOWED.fullmatch(run.key(number)), run.key(number)


@given(RUNS, RUNS, st.integers(1, 3), st.integers(1, 3))
def test_two_runs_share_a_key_only_when_they_are_tries_of_the_same(
    one: TaskRun, other: TaskRun, first: int, second: int
) -> None:
    assert (one.key(first) == other.key(second)) == ((what(one), first) == (what(other), second))


def test_the_parts_of_a_key_cannot_be_moved_from_one_to_the_next() -> None:
    runs = [
        *(run_of("a", "b", "c"), run_of("a", "b", "c", 1), run_of("a", "b/c", "1"), run_of("a/b", "c", "1")),
        *(run_of("a", "b", "c@2"), run_of("a", "b", "c/1"), run_of("a", "b-", "-c"), run_of("a", "b--", "c")),
        *(run_of("a", "b", "c~2F1"), run_of("x" * 250, "y" * 500, "z" * 250), run_of("x" * 250, "y" * 500, "z" * 249)),
    ]
    keys = [run.key(number) for run in runs for number in (1, 2)]
    assert len(set(keys)) == len(keys)


def test_the_engine_takes_strange_and_long_keys(client: Client) -> None:
    client.connection.execute("select df.create_workflow('w', steps => array[df.step('a', 'select 1')])")
    runs = [run_of("ü" * 250, "--'$;\n\\", "{x}", 7), run_of("d", "r--", "t"), run_of("d" * 250, "r" * 250, "ß" * 250)]
    for run in runs:
        assert client.instance(client.start("w", run_key=run.key())).run_key == run.key()


def test_a_workflow_of_a_tasks_own_is_named_after_it_and_after_no_other() -> None:
    assert run_of("orders", "any", "stage.load").workflow == "airflow.orders.stage.load"
    names = [
        run_of(dag, "any", task).workflow
        for dag, task in [("a.b", "c"), ("a", "b.c"), ("a.b.c", "d"), ("ü", "x"), ("_", "x"), ("d" * 250, "t" * 250)]
    ]
    assert names[:2] == ["airflow.a.b.c.fc7cd9c4e073b50b", "airflow.a.b.c"]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_.-]{1,250}", name)] == []


def test_what_airflow_did_is_read_from_the_reasons_it_left() -> None:
    run = run_of("d", "r", "t", tries=3, most=4)
    assert run.asks == "Airflow try 3 of 5"
    assert tries_known([None, "Airflow try 1 of 3", run.asks, "by hand"]) == 4
    assert tries_known(["by hand", None]) is None
    assert ended_try(ends(3)) == 3
    assert ended_try("Cancelled by user") is None
