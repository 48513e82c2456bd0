"""What a database holds where the engine would stand: nothing, ours, or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pgdurable_core.engine import calls
from pgdurable_core.engine.client import Connection, translated
from pgdurable_core.engine.rows import EngineRow
from pgdurable_core.errors import SchemaError
from pgdurable_core.schema.catalog import load_catalog

SCHEMAS = ("df", "df_runners")

_WHAT_IS_THERE = """
select exists (select from pg_catalog.pg_extension where extname = 'pg_durable'),
       (select n.nspowner::regrole::text from pg_catalog.pg_namespace n where n.nspname = 'df'),
       exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'df' and c.relname = '_engine' and c.relkind = 'r'),
       exists (select from pg_catalog.pg_namespace where nspname = 'df_runners'),
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create'),
       coalesce((select pg_catalog.has_schema_privilege(n.oid, 'usage')
                 from pg_catalog.pg_namespace n where n.nspname = 'df'), true),
       current_user::text, pg_catalog.current_database()::text
"""

# By oid: a lookup by name is refused already to whoever has no USAGE on the schema.
_MAY_LOOK = """
select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select')
from   pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where  n.nspname = 'df' and c.relname = '_engine'
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in schema `df`, as seen by one role.

    `ours` comes without `engine` when the role may not read it, which means that it is not the owner.
    """

    kind: Literal["nothing", "ours", "foreign"]
    role: str
    database: str
    owner: str | None
    may_create: bool
    engine: EngineRow | None = None
    why_foreign: str | None = None
    may_use: bool = True

    @property
    def schema_version(self) -> int:
        return 0 if self.engine is None else self.engine.schema_version


def look(connection: Connection) -> Standing:
    """Say what stands in schema `df`; reads the system catalog and our own row, changes nothing."""
    with translated():
        row = connection.execute(_WHAT_IS_THERE).fetchone()
        assert row is not None
        extension, owner, marker, runners, may_create, may_use, role, database = row
        why = _why_foreign(extension, owner, marker, runners)
        if why is not None:
            return Standing("foreign", role, database, owner, may_create, why_foreign=why)
        if owner is None:
            return Standing("nothing", role, database, None, may_create)
        return Standing("ours", role, database, owner, may_create, _engine(connection), may_use=may_use)


def require_ours(connection: Connection) -> EngineRow:
    """Return the engine's row. Raises SchemaError when there is no engine, or another's, or we may not see it."""
    standing = look(connection)
    refuse_foreign(standing)
    if standing.kind == "nothing":
        raise SchemaError(f"database {standing.database} holds no engine", hint="pgdurable init")
    if standing.engine is None:
        raise SchemaError(
            f"schema df in {standing.database} belongs to {standing.owner}; {standing.role} may not look into it",
            hint=f"connect as {standing.owner}",
        )
    return standing.engine


def refuse_foreign(standing: Standing) -> None:
    """Raise SchemaError when what stands there is not ours; nothing of it is touched."""
    if standing.kind == "foreign":
        raise SchemaError(
            f"schema df in database {standing.database} is not ours: {standing.why_foreign}",
            hint="use another database; pgdurable never changes a schema it did not make",
        )


def refuse_unfit(standing: Standing, flag: str = "", *, whatever_version: bool = False) -> None:
    """Raise SchemaError for an engine that is another's, closed to this role, or older than this package.

    A newer one is spoken to: signatures stay. `flag` is the option that names the database in advice. With
    `whatever_version` an older one passes, too: for who only looks.
    """
    refuse_foreign(standing)
    if not standing.may_use:
        raise SchemaError(
            f"permission denied for schema df in {standing.database}",
            hint=f"its owner {standing.owner} can say: select df.grant_usage('{standing.role}'), "
            f"or for the login of a worker: select df.grant_worker('{standing.role}', 'role')",
        )
    known = load_catalog().schema_version
    if not whatever_version and standing.engine is not None and standing.engine.schema_version < known:
        raise SchemaError(
            f"schema df is version {standing.engine.schema_version}, this pgdurable needs {known}",
            hint=f"pgdurable init{flag}",
        )


def _why_foreign(extension: bool, owner: str | None, marker: bool, runners: bool) -> str | None:
    if extension:
        return "the extension pg_durable is installed"
    if owner is not None and not marker:
        return f"a schema df of role {owner} exists without the table df._engine"
    if owner is None and runners:
        return "a schema df_runners exists without schema df"
    return None


def _engine(connection: Connection) -> EngineRow | None:
    allowed = connection.execute(_MAY_LOOK).fetchone()
    if allowed is None or not allowed[0]:
        return None
    row = connection.execute(calls.ENGINE).fetchone()
    if row is None:
        raise SchemaError("df._engine is empty: an installation was cut short", hint="pgdurable schema uninstall")
    return EngineRow(*row)
