-- _due_stops: backends to signal: they have a committed stop row and still execute that very claim.
create or replace function df._due_stops() returns table (pid integer, token bigint, is_late boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.pid, t.token, t.created_at < clock_timestamp() - interval '5 seconds'
    from df._stops t
    join df._sessions s on s.session_id = t.session_id
    join df._adverts() a on a.pid = s.pid and a.token = t.token
    join pg_stat_activity b on b.pid = s.pid and (b.backend_start is null or b.backend_start = s.backend_start)
$$;
