"""One run of Airflow and one of the engine for every mode, shared by all tests of parity."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

import pytest
from bundled_example import EXAMPLE, LOGICAL_DATE, deploy_example, seeded_database, tables_of
from dates import DATES
from erp import Erp, erp
from server import Database, TestServer
from two_sides import (
    MODES,
    AirflowAnswer,
    Outcome,
    ask_airflow,
    connection_of,
    outcome_of,
)

from pgdurable_core.cli.companions import run_worker_beside
from pgdurable_core.engine import Client

# What the lambda of the DAG makes of the one row that a rendered `summarise` is given.
ITEM = {"region": "DE"}


@pytest.fixture(scope="session")
def needs_airflow() -> None:
    """Skip where Airflow is missing or older than the interface the oracle speaks to."""
    try:
        version = importlib.metadata.version("apache-airflow-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("apache-airflow 3 is not installed")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < (3, 3):
        pytest.skip(f"the oracle is written for Airflow 3.3, this is {version}")


@pytest.fixture(scope="session")
def the_erp() -> Iterator[Erp]:
    with erp() as there:
        yield there


@pytest.fixture(scope="session")
def seeded(server: TestServer) -> Iterator[Database]:
    """A template: the engine, and the tables of the example before any run."""
    template = seeded_database(server)
    yield template
    template.drop()


@pytest.fixture(scope="session")
def seeded_tables(seeded: Database) -> Mapping[str, tuple[int, int]]:
    return tables_of(seeded)


@pytest.fixture(scope="session")
def clones(server: TestServer, seeded: Database) -> Iterator[dict[str, Database]]:
    """One clone of the template for every side and mode, named `airflow/full` and so on."""
    made = {
        f"{side}/{mode}": server.create_database(seeded.name) for side in ("airflow", "pgdurable") for mode in MODES
    }
    yield made
    for clone in made.values():
        clone.drop()


@pytest.fixture(scope="session")
def airflow(
    needs_airflow: None, clones: Mapping[str, Database], the_erp: Erp, tmp_path_factory: pytest.TempPathFactory
) -> AirflowAnswer:
    """Run the DAG in every mode with Airflow's `dag.test`, and render its SQL for every date."""
    folder = tmp_path_factory.mktemp("airflow")
    shutil.copytree(EXAMPLE / "dags", folder / "dags")
    question = {
        "folder": str(folder / "dags"),
        "dag": "orders_daily",
        "renderings": [
            {"logical_date": each.moment, "conf": each.params, "mapped": {"summarise": {"parameters": ITEM}}}
            for each in DATES
        ],
        "runs": [
            {
                "logical_date": LOGICAL_DATE,
                "conf": {"mode": mode},
                "environment": {
                    "AIRFLOW_CONN_WAREHOUSE": json.dumps(connection_of(clones[f"airflow/{mode}"])),
                    "ERP_URL": the_erp.url(f"airflow/{mode}"),
                },
            }
            for mode in MODES
        ],
    }
    answer = ask_airflow(folder, question)
    return AirflowAnswer(
        {
            mode: Outcome(
                run["state"],
                {(task, index): state for task, index, state in run["tasks"]},
                tables_of(clones[f"airflow/{mode}"]),
                run["erp_batch"],
            )
            for mode, run in zip(MODES, answer["runs"], strict=True)
        },
        dict(zip(DATES, answer["rendered"], strict=True)),
    )


@pytest.fixture(scope="session")
def ours(clones: Mapping[str, Database], the_erp: Erp) -> Mapping[str, Outcome]:
    """Run the imported workflow in every mode with the engine and a worker process."""
    outcomes: dict[str, Outcome] = {}
    for mode in MODES:
        database = clones[f"pgdurable/{mode}"]
        database.say_what_it_is()
        with pytest.MonkeyPatch.context() as patch, database.connect() as connection:
            patch.setenv("ERP_URL", the_erp.url(f"pgdurable/{mode}"))
            client = Client(connection)
            deploy_example(client)
            instance_id = client.start(
                "orders_daily", params={"mode": mode}, logical_date=datetime.fromisoformat(LOGICAL_DATE)
            )
            with run_worker_beside(database.dsn, sql=2, python=1) as worker:
                deadline = time.monotonic() + 60
                while client.instance(instance_id).status in ("pending", "running"):
                    worker.check()
                    assert time.monotonic() < deadline, client.steps(instance_id)
                    time.sleep(0.05)
            outcomes[mode] = outcome_of(client, instance_id, tables_of(database))
    return outcomes
