-- signal_stops: cancel, after five seconds terminate, the backends that have a stop row. SECURITY INVOKER on
-- purpose: the worker's login may signal its own sessions, the owner of df may not.
create or replace function df.signal_stops() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_count integer := 0;
begin
    perform pg_stat_clear_snapshot();
    for r in select d.pid, d.is_late from df._due_stops() d loop
        if r.is_late then
            perform pg_terminate_backend(r.pid);
        else
            perform pg_cancel_backend(r.pid);
        end if;
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function df.signal_stops() is 'signal the backends whose step is to stop; in a transaction after df.tick''s, repeated every 200 ms';
