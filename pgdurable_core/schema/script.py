"""The installation as one SQL script, for people who read before they run."""

from __future__ import annotations

from typing import Final

from pgdurable_core.schema.catalog import Catalog, load_catalog

# "pgdf" in ASCII: every installation, upgrade, verification and removal in a database goes one after another.
LOCK: Final = "select pg_catalog.pg_advisory_xact_lock(1885824102)"

# A function may call one that comes later in the order; `drop … if exists` is no news; a backslash is a letter.
SETTINGS: Final = """
set local check_function_bodies = off;
set local client_min_messages = warning;
set local standard_conforming_strings = on;
"""

_GUARD: Final = """
do $guard$
begin
    perform pg_catalog.pg_advisory_xact_lock(1885824102);
    if exists (select from pg_catalog.pg_namespace where nspname in ('df', 'df_runners')) then
        raise exception 'schema df or df_runners exists already in database %', pg_catalog.current_database()
            using errcode = 'PD500', hint = 'pgdurable init brings an engine of ours up to date; nothing was changed.';
    end if;
    if exists (select from pg_catalog.pg_extension where extname = 'pg_durable') then
        raise exception 'the extension pg_durable owns schema df in database %', pg_catalog.current_database()
            using errcode = 'PD500', hint = 'Use another database; nothing was changed.';
    end if;
    if not pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') then
        raise exception 'role % may not create schemas in database %', current_user, pg_catalog.current_database()
            using errcode = 'PD500', hint = 'Connect as the owner of the database.';
    end if;
end
$guard$;
"""

_HEADER: Final = """\
-- pgdurable {version}, schema df {schema_version}: the whole engine, as `pgdurable init` installs it.
--
-- Apply   psql -v ON_ERROR_STOP=1 -f FILE, or with any other client: there are no psql commands in it
-- Rights  CREATE on the database, which its owner has; no superuser, no extension
-- Makes   the schemas df and df_runners, and nothing outside them
-- Twice   refuses a database that has a schema df, changing nothing; upgrades are `pgdurable init`
-- Undo    drop schema df, df_runners cascade; or `pgdurable schema uninstall`
"""


def render_sql(version: str, catalog: Catalog | None = None) -> str:
    """Return the whole installation as SQL text, made without a database; applying it equals `install`."""
    catalog = load_catalog() if catalog is None else catalog
    parts = [
        _HEADER.format(version=version, schema_version=catalog.schema_version).strip(),
        "begin;",
        _GUARD.strip(),
        SETTINGS.strip(),
    ]
    parts += [f"-- ==> {file.name}\n\n{file.text.strip()}" for file in (*catalog.migrations, *catalog.behaviour)]
    parts += ["-- ==> what this database is", registration(catalog.schema_version, version).strip(), "commit;"]
    return "\n\n".join(parts) + "\n"


def registration(schema_version: int, version: str) -> str:
    """Return the statements that write our row into `df._engine`, first or again."""
    quoted = version.replace("'", "''")
    return f"""
insert into df._engine (schema_version, version) values ({schema_version}, '{quoted}')
on conflict (only_row) do update
    set schema_version = excluded.schema_version, version = excluded.version, draining = false,
        upgraded_at = clock_timestamp()
    where (df._engine.schema_version, df._engine.version, df._engine.draining)
       <> (excluded.schema_version, excluded.version, false);
update df._engine
set    database_oid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
where  database_oid is null;
-- What a login has before roles and databases add theirs; a step gets it, since a definer function gives it neither.
update df._engine
set    session_defaults = (
           select jsonb_object_agg(name, case when source in ('default', 'configuration file', 'command line', 'global',
                                                              'environment variable') then reset_val else boot_val end)
           from   pg_catalog.pg_settings where name in ('search_path', 'TimeZone', 'DateStyle', 'IntervalStyle'))
where  session_defaults = '{{}}';
do $identity$
begin
    update df._engine
    set    system_identifier = (select c.system_identifier::text from pg_catalog.pg_control_system() c)
    where  system_identifier is null;
exception when insufficient_privilege then
    null;  -- some managed services keep it to themselves; the database's oid has to do
end
$identity$;
"""


def record() -> str:
    """Return the statement that tells the database its environment, endpoint and whether it is for tests.

    A copy keeps the names of what it is a copy of until it is adopted.
    """
    return """
update df._engine
set    environment = coalesce(%s, environment), endpoint = coalesce(%s, endpoint), is_test = coalesce(%s, is_test)
where  df._strayed() is null
"""
