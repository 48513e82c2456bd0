-- _backend_start: when this session began. SECURITY INVOKER: a login sees its own, the owner of df may not.
create or replace function df._backend_start() returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid() $$;
