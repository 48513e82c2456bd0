"""Compare an installation with this package, and take one out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg

from pgdurable_core.engine.client import Connection, translated
from pgdurable_core.errors import SchemaError
from pgdurable_core.schema.catalog import Catalog, load_catalog
from pgdurable_core.schema.fingerprint import Difference, take_fingerprint
from pgdurable_core.schema.script import LOCK, SETTINGS
from pgdurable_core.schema.state import look, refuse_foreign, require_ours

# Views, functions, columns and the like of other schemas that would vanish with ours. An object inside a table or
# view (rule, default, constraint, trigger) counts as that table or view.
_DEPENDANTS: Final = """
with ours as (select oid from pg_catalog.pg_namespace where nspname in ('df', 'df_runners')),
objects as (
    select 'pg_catalog.pg_class'::regclass as classid, c.oid
    from   pg_catalog.pg_class c join ours on ours.oid = relnamespace
    union all
    select 'pg_catalog.pg_proc'::regclass, p.oid from pg_catalog.pg_proc p join ours on ours.oid = pronamespace
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid from pg_catalog.pg_type t join ours on ours.oid = typnamespace
    union all
    select 'pg_catalog.pg_operator'::regclass, p.oid from pg_catalog.pg_operator p join ours on ours.oid = oprnamespace
),
holders as (
    select distinct
           case d.classid when 'pg_catalog.pg_rewrite'::regclass then 'pg_catalog.pg_class'::regclass
                          when 'pg_catalog.pg_attrdef'::regclass then 'pg_catalog.pg_class'::regclass
                          when 'pg_catalog.pg_constraint'::regclass then 'pg_catalog.pg_class'::regclass
                          when 'pg_catalog.pg_trigger'::regclass then 'pg_catalog.pg_class'::regclass
                          when 'pg_catalog.pg_policy'::regclass then 'pg_catalog.pg_class'::regclass
                          else d.classid end as classid,
           case d.classid when 'pg_catalog.pg_rewrite'::regclass
                               then (select ev_class from pg_catalog.pg_rewrite where oid = d.objid)
                          when 'pg_catalog.pg_attrdef'::regclass
                               then (select adrelid from pg_catalog.pg_attrdef where oid = d.objid)
                          when 'pg_catalog.pg_constraint'::regclass
                               then (select nullif(conrelid, 0) from pg_catalog.pg_constraint where oid = d.objid)
                          when 'pg_catalog.pg_trigger'::regclass
                               then (select tgrelid from pg_catalog.pg_trigger where oid = d.objid)
                          when 'pg_catalog.pg_policy'::regclass
                               then (select polrelid from pg_catalog.pg_policy where oid = d.objid)
                          else d.objid end as objid
    from   pg_catalog.pg_depend d
    join   objects o on o.classid = d.refclassid and o.oid = d.refobjid
    where  d.deptype in ('n', 'a')
)
select i.type || ' ' || i.identity
from   holders h
cross  join lateral pg_catalog.pg_identify_object(h.classid, h.objid, 0) i
where  h.objid is not null
and    not exists (select from objects o where o.classid = h.classid and o.oid = h.objid)
and    coalesce(i.schema, '') not in ('df', 'df_runners', 'pg_toast')
order  by 1
"""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found; equal only when `differences` is empty."""

    schema_version: int
    differences: tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        return not self.differences


def verify(connection: Connection, catalog: Catalog | None = None) -> Verification:
    """Compare every table, column, index, constraint, view, function and right with what this package installs.

    The package is installed a second time beside the first, in a transaction that is rolled back: the server itself
    prints both sides, so nothing can differ but what truly does. Nobody else sees or waits for anything.
    Raises SchemaError when there is no engine, when its version is another, or for a role that is not its owner with
    CREATE on the database.
    """
    catalog = load_catalog() if catalog is None else catalog
    engine = require_ours(connection)
    if engine.schema_version != catalog.schema_version:
        raise SchemaError(
            f"schema df is version {engine.schema_version}, this pgdurable has {catalog.schema_version}",
            hint="pgdurable init" if engine.schema_version < catalog.schema_version else "upgrade pgdurable",
        )
    with translated(), connection.transaction(force_rollback=True):
        connection.execute(LOCK)
        found = take_fingerprint(connection)
        try:
            connection.execute("alter schema df rename to df_as_found")
            connection.execute("alter schema df_runners rename to df_runners_as_found")
        except psycopg.errors.InsufficientPrivilege as error:
            raise SchemaError(
                "only the owner of schema df with CREATE on the database can verify it", hint=str(error)
            ) from error
        connection.execute(SETTINGS)
        for file in (*catalog.migrations, *catalog.behaviour):
            connection.execute(file.text.encode())
        expected = take_fingerprint(connection)
    return Verification(engine.schema_version, tuple(expected.differences(found)))


def dependants(connection: Connection) -> list[str]:
    """List what stands outside our schemas and would be dropped with them."""
    with translated():
        return [name for (name,) in connection.execute(_DEPENDANTS)]


def uninstall(connection: Connection, *, with_dependants: bool = False) -> bool:
    """Drop both schemas with everything in them, workflows and history included; say whether there was anything.

    Raises SchemaError for a schema df that is not ours, and, unless `with_dependants`, when objects of other schemas
    would go too.
    """
    with translated(), connection.transaction():
        connection.execute(LOCK)
        standing = look(connection)
        refuse_foreign(standing)
        if standing.kind == "nothing":
            return False
        others = dependants(connection)
        if others and not with_dependants:
            raise SchemaError(
                f"{len(others)} objects outside schema df use it: {', '.join(others[:5])}",
                hint="drop them first, or say --with-dependants",
            )
        connection.execute("drop schema if exists df_runners cascade")
        connection.execute("drop schema if exists df cascade")
    return True
