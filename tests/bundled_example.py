"""`examples/01_orders_daily` as it stands in the repository, deployed and compared by several floors."""

from __future__ import annotations

from pathlib import Path

from server import Database, TestServer

from pgdurable_core.cli.deployment import Names, apply, read_workflow_files
from pgdurable_core.engine import Client

EXAMPLE = Path(__file__).parents[1] / "examples" / "01_orders_daily"
LOGICAL_DATE = "2026-11-21T00:00:00+00:00"
SCHEMAS = ("raw", "stage", "mart", "ref")

# A sum over the rows' hashes: the same for the same rows in any order, and different when a row stands twice.
CHECKSUM = """
select count(*), coalesce(sum(('x' || md5(t::text))::bit(64)::bigint::numeric), 0) from {} t
"""


def seeded_database(server: TestServer) -> Database:
    """Make a database with the engine and the tables of the example before any run."""
    database = server.create_database(server.engine_template())
    database.execute((EXAMPLE / "seed.sql").read_text())
    return database


def deploy_example(client: Client) -> None:
    """Deploy the reviewed file; another test shows that it is what the importer writes, byte for byte."""
    files, _ = read_workflow_files([EXAMPLE / "workflows" / "orders_daily.sql"])
    apply(client, files, Names({"warehouse": None}, {}), namespace="default", search=[EXAMPLE / "dags"])


def tables_of(database: Database) -> dict[str, tuple[int, int]]:
    """Return rows and checksum of every table of the example's schemas."""
    names = database.execute(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        f" where n.nspname = any('{{{','.join(SCHEMAS)}}}') and c.relkind in ('r', 'p') order by 1"
    )
    found: dict[str, tuple[int, int]] = {}
    for (name,) in names:
        ((rows, checksum),) = database.execute(CHECKSUM.format(name))
        assert isinstance(rows, int)
        found[str(name)] = (rows, int(str(checksum)))
    return found
