"""Everything that schema `df` consists of, as text that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pgdurable_core.engine.client import Connection, translated

# One row per object: kind, name, definition as PostgreSQL prints it. Not-null constraints are left to the columns
# (pg_constraint lists them from PostgreSQL 18 on); column order is left out, an upgraded table may differ in it.
_OBJECTS: Final = """
with ours as (select oid, nspname::text as schema from pg_catalog.pg_namespace where nspname = 'df'),
rels as (
    select c.*, o.schema || '.' || c.relname as name
    from   pg_catalog.pg_class c join ours o on o.oid = c.relnamespace
)
select 'table', name, concat_ws(' ', relpersistence, relrowsecurity, relforcerowsecurity, reloptions::text,
                                pg_catalog.obj_description(oid, 'pg_class'))
from   rels where relkind in ('r', 'p')
union all
select 'column', r.name || '.' || a.attname,
       concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, nullif(a.attidentity, ''),
                 nullif(a.attgenerated, ''), co.collname, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                 pg_catalog.col_description(r.oid, a.attnum))
from   rels r
join   pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left   join pg_catalog.pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
left   join pg_catalog.pg_collation co on co.oid = a.attcollation and co.collname <> 'default'
where  r.relkind in ('r', 'p', 'v', 'c')
union all
select 'constraint', r.name || '.' || c.conname, pg_catalog.pg_get_constraintdef(c.oid)
from   rels r join pg_catalog.pg_constraint c on c.conrelid = r.oid where c.contype <> 'n'
union all
select 'index', r.name, concat_ws(' ', pg_catalog.pg_get_indexdef(r.oid), i.indisvalid)
from   rels r join pg_catalog.pg_index i on i.indexrelid = r.oid
union all
select 'view', name, concat_ws(' ', reloptions::text, pg_catalog.obj_description(oid, 'pg_class'),
                               pg_catalog.pg_get_viewdef(oid))
from   rels where relkind in ('v', 'm')
union all
select 'sequence', r.name, concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqcache, s.seqcycle)
from   rels r join pg_catalog.pg_sequence s on s.seqrelid = r.oid
union all
select 'trigger', r.name || '.' || t.tgname, concat_ws(' ', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
from   rels r join pg_catalog.pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
union all
select 'policy', r.name || '.' || p.polname,
       concat_ws(' ', p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                 pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
from   rels r join pg_catalog.pg_policy p on p.polrelid = r.oid
union all
select 'function', p.oid::regprocedure::text,
       concat_ws(E'\\n', case when p.prokind <> 'a' then pg_catalog.pg_get_functiondef(p.oid) end,
                 pg_catalog.obj_description(p.oid, 'pg_proc'))
from   pg_catalog.pg_proc p join ours o on o.oid = p.pronamespace
union all
select 'type', o.schema || '.' || t.typname,
       concat_ws(' ', t.typtype, (select pg_catalog.string_agg(e.enumlabel, ',' order by e.enumsortorder)
                                  from pg_catalog.pg_enum e where e.enumtypid = t.oid),
                 pg_catalog.format_type(nullif(t.typbasetype, 0), t.typtypmod))
from   pg_catalog.pg_type t join ours o on o.oid = t.typnamespace
where  t.typtype in ('e', 'd', 'r')
union all
select 'operator', p.oid::regoperator::text, concat_ws(' ', p.oprcode::regproc, p.oprresult::regtype)
from   pg_catalog.pg_operator p join ours o on o.oid = p.oprnamespace
"""

_GRANTS: Final = """
with ours as (select oid, nspname, nspowner, nspacl from pg_catalog.pg_namespace where nspname = 'df'),
acls as (
    select 'schema df' as name, false as is_base, nspowner as owner,
           coalesce(nspacl, pg_catalog.acldefault('n', nspowner)) as acl
    from   ours
    union all
    select 'df.' || c.relname, c.relkind in ('r', 'p'), c.relowner,
           coalesce(c.relacl,
                    pg_catalog.acldefault(case when c.relkind = 'S' then 's' else 'r' end::"char", c.relowner))
    from   pg_catalog.pg_class c join ours o on o.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S')
    union all
    select p.oid::regprocedure::text, false, p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
    from   pg_catalog.pg_proc p join ours o on o.oid = p.pronamespace
)
select name, is_base, case when x.grantee = 0 then 'public' else x.grantee::regrole::text end, x.privilege_type
from   acls, lateral pg_catalog.aclexplode(acl) x
where  x.grantee <> acls.owner
"""

Kind = Literal["missing", "changed", "extra"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as this version makes it."""

    kind: Kind
    what: str
    name: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        return f"{self.kind:8} {self.what} {self.name}"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Objects and grants by (what, name)."""

    objects: Mapping[tuple[str, str], str]

    def differences(self, found: Fingerprint) -> list[Difference]:
        """Compare what is expected (self) with what was found, ordered by kind of object and name.

        Rights granted beyond ours are a difference only on base tables and to public: people are given views and
        functions as the installation's owner sees fit.
        """
        result: list[Difference] = []
        for key in sorted(self.objects.keys() | found.objects.keys()):
            expected, there = self.objects.get(key), found.objects.get(key)
            if expected == there:
                continue
            if there is None:
                result.append(Difference("missing", *key, expected, None))
            elif expected is not None:
                result.append(Difference("changed", *key, expected, there))
            elif key[0] != "right" or there == "never":
                result.append(Difference("extra", *key, None, there))
        return result


def take_fingerprint(connection: Connection) -> Fingerprint:
    """Read schema `df` as it stands in the current transaction; names come out qualified whatever the search_path."""
    with translated(), connection.transaction():
        path = connection.execute("select pg_catalog.current_setting('search_path')").fetchone()
        assert path is not None
        connection.execute("select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)")
        objects = {(what, name): text for what, name, text in connection.execute(_OBJECTS)}
        for name, is_base, grantee, privilege in connection.execute(_GRANTS):
            right = f"{privilege.lower()} on {name} to {grantee}"
            objects["right", right] = "never" if is_base or grantee == "public" else "given"
        connection.execute("select pg_catalog.set_config('search_path', %s, true)", [path[0]])
    return Fingerprint(objects)
