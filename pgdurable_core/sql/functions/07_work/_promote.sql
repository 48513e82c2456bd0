-- _promote: timers that are due become ready, at a new queue position.
create or replace function df._promote(p_limit integer default 100) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    v_count integer;
    v_lanes smallint[];
begin
    with due as (
        select s.instance_id, s.scope_id, s.step from df._steps s
        where s.state in ('sleeping', 'retrying') and s.due_at <= df._now()
        order by s.due_at limit p_limit for no key update skip locked
    ), promoted as (
        update df._steps s set state = 'ready', due_at = null, enq = pg_current_xact_id(), seq = nextval('df._queue_seq'), ready_at = clock_timestamp()
        from due d where s.instance_id = d.instance_id and s.scope_id = d.scope_id and s.step = d.step
        returning s.lane
    )
    select count(*), array_agg(distinct p.lane) into v_count, v_lanes from promoted p;
    if v_count > 0 then
        perform df._wake(v_lanes, true);
    end if;
    return v_count;
end
$$;
