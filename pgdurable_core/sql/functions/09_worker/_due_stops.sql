-- _due_stops: backends to signal now: they have a committed stop row, still execute that very claim, were not
-- signalled for 200 ms by anybody, and belong to a login that this one may signal. Marks the rows as signalled.
--
-- A second signal while the first is still being answered would hit the engine's own code behind the step and end
-- the whole call. Who is ending its stop row at this moment has it locked, and is left alone too.
--
-- Locks   stop rows (skip locked).
create or replace function df._due_stops() returns table (pid integer, token bigint, is_late boolean)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with due as (
        select t.token, a.pid
        from df._stops t
        join df._sessions s on s.session_id = t.session_id
        join df._adverts() a on a.pid = s.pid and a.token = t.token
        join pg_stat_activity b on b.pid = s.pid and (b.backend_start is null or b.backend_start = s.backend_start)
        join pg_roles l on l.rolname = s.login
        join pg_roles me on me.rolname = session_user
        where (t.signalled_at is null or t.signalled_at < clock_timestamp() - interval '200 milliseconds')
          and (me.rolsuper or not l.rolsuper and (pg_has_role(session_user, l.oid, 'usage') or pg_has_role(session_user, 'pg_signal_backend', 'usage')))
        for no key update of t skip locked
    )
    update df._stops t set signalled_at = clock_timestamp() from due d where t.token = d.token
    returning d.pid, t.token, t.created_at < clock_timestamp() - interval '5 seconds'
$$;
