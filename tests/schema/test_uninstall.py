"""An uninstall leaves nothing, and never takes with it what is not ours."""

from __future__ import annotations

import pytest
from server import Database

from pgdurable_core.errors import SchemaError
from pgdurable_core.schema import install, uninstall

# Every catalog that an installation could leave something in, without what PostgreSQL itself counts up.
EVERYTHING = """
select 'class ' || oid::regclass from pg_class
union all select 'proc ' || oid::regprocedure from pg_proc
union all select 'type ' || oid::regtype from pg_type
union all select 'namespace ' || nspname from pg_namespace
union all select 'operator ' || oid::regoperator from pg_operator
union all select 'cast ' || castsource::regtype || castfunc::regproc from pg_cast
union all select 'trigger ' || evtname from pg_event_trigger
union all select 'role ' || rolname from pg_roles
union all select 'setting ' || setdatabase || ' ' || setrole || ' ' || setconfig::text from pg_db_role_setting
union all select 'default ' || defaclrole::regrole || defaclobjtype::text || defaclacl::text from pg_default_acl
union all select 'extension ' || extname from pg_extension
union all select 'comment ' || classoid::regclass || ' ' || description from pg_description
union all select 'depend ' || count(*) from pg_depend
union all select 'shdepend ' || count(*) from pg_shdepend
order by 1
"""


def test_uninstall_leaves_nothing(empty_database: Database) -> None:
    before = empty_database.execute(EVERYTHING)
    with empty_database.connect() as connection:
        install(connection)
        assert empty_database.execute(EVERYTHING) != before
        assert uninstall(connection) is True
        assert uninstall(connection) is False
    assert empty_database.execute(EVERYTHING) == before


def test_what_was_uninstalled_can_be_installed_again(database: Database) -> None:
    with database.connect() as connection:
        uninstall(connection)
        assert install(connection).outcome == "created"


def test_a_view_of_somebody_else_stops_the_uninstall(database: Database) -> None:
    database.execute("create view public.mine as select value from df._variables")
    with database.connect() as connection:
        with pytest.raises(SchemaError, match=r"1 objects outside schema df use it: view public\.mine"):
            uninstall(connection)
        assert connection.execute("select * from public.mine").fetchall() == []
        assert uninstall(connection, with_dependants=True) is True
        assert connection.execute("select to_regclass('public.mine') is null").fetchone() == (True,)


def test_a_foreign_schema_is_never_dropped(empty_database: Database) -> None:
    empty_database.execute("create schema df; create table df.instances (id int)")
    with empty_database.connect() as connection, pytest.raises(SchemaError, match="not ours"):
        uninstall(connection)
    assert empty_database.execute("select * from df.instances") == []
