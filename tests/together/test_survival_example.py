"""Kill the worker, a backend, the server in the middle of examples/01_orders_daily: it ends as if nothing had happened.

Two seeded moments per way to die in every run. All twenty per way, sixty deaths:
`pytest -m slow tests/together/test_survival_example.py --log-cli-level=INFO`, which also says where each death fell.
Run so on 2026-11-22 at 77890a9 (PostgreSQL 18, two cores that others used as well): sixty of sixty held.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from bundled_example import EXAMPLE, LOGICAL_DATE, deploy_example, seeded_database, tables_of
from consistency import assert_consistent
from crew import WorkerProcess, kill_backend, patiently, until, value
from erp import Erp, erp
from server import Database, TestServer

from pgdurable_core.engine import Client, InstanceRow, StepRow
from pgdurable_core.errors import DatabaseUnavailableError

WAYS = ("worker", "backend", "server")
# Where a death falls, by turns. Over the clock alone nearly all would fall into the seconds in which Python imports
# Airflow, and what commits happens in the tenths of a second before and after it.
STAGES = ("answer", "sql", "import", "sql", "request")
# The ERP takes its time, so that a death can fall into a request and two at a time could be seen.
REQUEST_SECONDS = 0.5
# Before and after the answer: the report of the python step, the last step, the end.
ANSWER_SECONDS = 0.02
LEASE_SECONDS = 4.0

# The example's steps are idempotent: done twice, its tables look the same. This counts what was committed.
WITNESS = """
create schema witness;
create table witness.effects (relation text not null, operation text not null, rows bigint);
create function witness.note() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into witness.effects values (tg_relid::regclass, tg_op, null);
    else
        insert into witness.effects select tg_relid::regclass, tg_op, count(*) from changed;
    end if;
    return null;
end $$;
do $$
declare
    v_table regclass;
begin
    foreach v_table in array '{raw.orders,raw.refunds,stage.orders,stage.refunds,mart.orders,ref.regions}'::regclass[] loop
        execute format('create trigger inserted after insert on %s referencing new table as changed execute function witness.note()', v_table);
        execute format('create trigger updated after update on %s referencing new table as changed execute function witness.note()', v_table);
        execute format('create trigger deleted after delete on %s referencing old table as changed execute function witness.note()', v_table);
        execute format('create trigger truncated after truncate on %s execute function witness.note()', v_table);
    end loop;
end $$;
"""  # noqa: E501

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Left:
    """What a run leaves: (state, tries, result) by step, (rows, checksum) by table, the statements that were committed,
    and the bodies that the ERP was sent, each once however often it came."""

    state: str
    steps: Mapping[str, tuple[str, int | None, object]]
    tables: Mapping[str, tuple[int, int]]
    effects: list[tuple[object, ...]]
    sent: set[str]


@dataclass
class Run:
    """The example on a clone of its own, with an ERP and a worker of its own."""

    database: Database
    erp: Erp
    folder: Path
    environment: Mapping[str, str]
    worker: WorkerProcess = field(init=False)

    def start(self) -> None:
        self.start_worker()
        with self.database.connect() as owner:
            self.instance_id = Client(owner).start("orders_daily", logical_date=datetime.fromisoformat(LOGICAL_DATE))
        self.began = datetime.now(UTC)

    def start_worker(self) -> None:
        """Start a worker and wait until it is ready; one that was there before is dead."""
        self.worker = WorkerProcess(
            self.database,
            python=1,
            lease=LEASE_SECONDS,
            environment=self.environment,
            said=self.folder / "worker.log",
        )
        self.worker.wait_ready()

    def wait_for(self, stage: str) -> None:
        """Wait until the run has come to a stage."""
        if stage == "import":
            with self.database.connect() as owner:
                until(lambda: self._posting(owner).status == "running", every=0.005)
        elif stage in ("request", "answer"):
            until(lambda: bool(self.erp.requests), every=0.001)
        if stage == "answer":
            time.sleep(REQUEST_SECONDS - ANSWER_SECONDS)

    def is_past(self, stage: str) -> bool:
        """Say that a stage, taking less time than it did undisturbed, is over."""
        return stage == "import" and bool(self.erp.requests)

    def _posting(self, owner: psycopg.Connection[tuple[object, ...]]) -> StepRow:
        [step] = [step for step in Client(owner).steps(self.instance_id) if step.key == "erp_batch"]
        return step

    def finish(self) -> tuple[InstanceRow, list[StepRow], Left]:
        """Wait until the instance has ended, end the worker, and collect what is left."""
        until(self._is_finished, 60, self._tell, every=0.1)
        assert self.worker.process.poll() is None, self._tell()
        assert self.worker.end() == 0
        with self.database.connect() as owner:
            client = Client(owner)
            instance, steps = client.instance(self.instance_id), client.steps(self.instance_id)
            effects = owner.execute("select relation, operation, rows from witness.effects order by 1, 2, 3").fetchall()
            assert value(owner, "select max(charged) from df._steps") == 0
            assert_consistent(owner)
        left = Left(
            instance.status,
            {step.label: (step.status, step.attempt, step.result) for step in steps},
            tables_of(self.database),
            effects,
            {each.body for each in self.erp.requests},
        )
        return instance, steps, left

    def _is_finished(self) -> bool:
        with suppress(psycopg.OperationalError, DatabaseUnavailableError), self.database.connect() as owner:
            return Client(owner).instance(self.instance_id).is_finished
        return False

    def _tell(self) -> object:
        with patiently(self.database) as owner:
            steps = [(step.label, step.status, step.error) for step in Client(owner).steps(self.instance_id)]
        return steps, (self.folder / "worker.log").read_text()[-4000:]


def orders_of_the_erp() -> type[BaseHTTPRequestHandler]:
    """Return the handler of the example's own server."""
    spec = importlib.util.spec_from_file_location("erp_server", EXAMPLE / "erp_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answers: type[BaseHTTPRequestHandler] = module.Orders
    return answers


@contextmanager
def started(template: Database, folder: Path) -> Iterator[Run]:
    """Start the example on a fresh copy of the seed."""
    database = template.server.create_database(template.name)
    database.say_what_it_is()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AIRFLOW", "ERP"))}
    with erp(orders_of_the_erp(), seconds=REQUEST_SECONDS) as other:
        environment = {**kept, "AIRFLOW_HOME": str(folder.parent / "airflow"), "ERP_URL": other.url("orders")}
        run = Run(database, other, folder, environment)
        try:
            run.start()
            yield run
        finally:
            run.worker.kill()
            patiently(database).close()
            database.drop()


@pytest.fixture(scope="module")
def template(mortal: TestServer) -> Iterator[Database]:
    """The example deployed and seeded, with a witness of every statement that changes its tables."""
    try:
        importlib.metadata.version("apache-airflow-task-sdk")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("apache-airflow 3, which the example imports, is not installed")
    database = seeded_database(mortal)
    database.say_what_it_is()
    database.execute(WITNESS)
    with database.connect() as owner:
        deploy_example(Client(owner))
    yield database
    database.drop()


@pytest.fixture(scope="module")
def undisturbed(template: Database, tmp_path_factory: pytest.TempPathFactory) -> tuple[Left, Mapping[str, float]]:
    """What an undisturbed run leaves behind, and how many seconds each of its stages lasts."""
    with started(template, tmp_path_factory.mktemp("undisturbed")) as run:
        _, steps, left = run.finish()
        [request] = run.erp.requests
        [posting] = [step.started_at for step in steps if step.key == "erp_batch"]
    assert left.state == "completed"
    assert {name for name, (state, _, _) in left.steps.items() if state != "completed"} == {"rebuild"}
    assert {relation for relation, *_ in left.effects} == {"stage.orders", "stage.refunds", "mart.orders"}
    assert posting is not None
    stages = {
        "sql": (posting - run.began).total_seconds(),
        "import": (request.began - posting).total_seconds(),
        "request": REQUEST_SECONDS,
        "answer": 2 * ANSWER_SECONDS,
    }
    log.info("undisturbed: %s", stages)
    return left, stages


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_the_example_ends_as_if_nothing_had_died(
    template: Database, undisturbed: tuple[Left, Mapping[str, float]], tmp_path: Path, way: str, seed: int
) -> None:
    _die_once(template, undisturbed, tmp_path, way, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("way", WAYS)
def test_all_twenty_moments(
    template: Database, undisturbed: tuple[Left, Mapping[str, float]], tmp_path: Path, way: str, seed: int
) -> None:
    _die_once(template, undisturbed, tmp_path, way, seed)


def _die_once(
    template: Database, undisturbed: tuple[Left, Mapping[str, float]], folder: Path, way: str, seed: int
) -> None:
    expected, durations = undisturbed
    stage = STAGES[(seed + WAYS.index(way)) % len(STAGES)]
    generator = random.Random(f"{way} {seed}")
    moment = generator.uniform(0, durations[stage])
    with started(template, folder) as run:
        run.wait_for(stage)
        deadline = time.monotonic() + moment
        until(lambda: time.monotonic() >= deadline or run.is_past(stage), every=0.001)
        died_at = datetime.now(UTC)
        died = _die(run, way, generator)
        instance, steps, left = run.finish()
        requests = list(run.erp.requests)
        with run.database.connect() as owner:
            lost = [each.key for each in Client(owner).attempts(run.instance_id) if each.status == "lost"]
    [posting] = [step.started_at for step in steps if step.key == "erp_batch"]
    assert posting is not None
    assert instance.finished_at is not None
    done = [step.label for step in steps if step.finished_at is not None and step.finished_at < died_at]
    log.info(
        "%s %s: %s, %.3f s into %s; %s of %s steps had ended; lost %s; since then Python %+.2f s, ERP %s, end %+.2f",
        *(way, seed, died, moment, stage, len(done), len(steps), lost, (posting - died_at).total_seconds()),
        [f"{(request.began - died_at).total_seconds():+.2f}" for request in requests],
        (instance.finished_at - died_at).total_seconds(),
    )
    assert left == expected
    assert stage == "answer" or instance.finished_at > died_at, "it died too late to prove anything"
    # The example sends none; whoever does sends the same each time.
    assert len({each.headers.get("Idempotency-Key") for each in requests}) == 1
    assert all(before.ended is not None and before.ended <= after.began for before, after in pairwise(requests))


def _die(run: Run, way: str, generator: random.Random) -> str:
    if way == "worker":
        run.worker.kill()
        run.start_worker()
        return "worker killed"
    if way == "backend":
        if kill_backend(run.database, generator):
            return "backend in df.work killed"
        # While Python has the only step, the sessions of SQL wait between two calls.
        assert kill_backend(run.database, generator, "application_name ~ '^pgdurable .* sql [0-9]+$'")
        return "backend between calls of df.work killed"
    assert run.database.server.private is not None
    run.database.server.private.restart("immediate")
    return "server stopped at once"
