-- _adverts: which session executes which claim right now, and since when.
create or replace function df._adverts() returns table (pid integer, token bigint, since timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select l.pid, ((l.classid::bigint & 65535) << 32) | l.objid::bigint, a.xact_start
    from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and (l.classid::bigint >> 16) = 57089
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;
