-- _doctor_queue: what waits longer than it should, and what a death left behind. Every count ends somewhere.
create or replace function df._doctor_queue(p_patience interval default '1 minute') returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    v_count bigint;
    v_age interval;
    v_oldest text;
    v_names text[];
begin
    select count(*), clock_timestamp() - min(x.ready_at), (array_agg(x.instance_id order by x.ready_at))[1] into v_count, v_age, v_oldest
    from (select s.ready_at, s.instance_id from df._steps s where s.state = 'ready' limit 100000) x;
    return query select 'queue', case when v_age > p_patience * 5 then 'bad' when v_age > p_patience then 'warn' else 'ok' end,
        case when v_count = 0 then 'nothing waits' else format('steps that wait: %s%s, the oldest for %s s (%s)', v_count,
            case when v_count = 100000 then ' or more' else '' end, round(extract(epoch from v_age)), v_oldest) end,
        case when v_age > p_patience then format('pgdurable explain %s; more sessions: pgdurable worker --sql ..., --python ...', v_oldest) end;

    select count(*), df._now() - min(x.due_at), (array_agg(x.instance_id order by x.due_at))[1] into v_count, v_age, v_oldest
    from (select s.due_at, s.instance_id from df._steps s where s.state in ('sleeping', 'retrying') and s.due_at < df._now() - p_patience order by s.due_at limit 1000) x;
    return query select 'timers', case when v_count > 0 then 'bad' else 'ok' end,
        case when v_count > 0 then format('timers that are over and woke nobody: %s, the first for %s s (%s)', v_count, round(extract(epoch from v_age)), v_oldest) else 'none is overdue' end,
        case when v_count > 0 then 'call df.tick(), which `pgdurable worker` does every second' end;

    select count(*) into v_count from (select from df._commands c where greatest(c.created_at, c.not_before) < clock_timestamp() - p_patience limit 1000) x;
    return query select 'commands', case when v_count > 0 then 'bad' else 'ok' end,
        case when v_count > 0 then format('commands (cancel, retry) that wait for somebody who works: %s', v_count) else 'none waits' end,
        case when v_count > 0 then 'pgdurable worker, or call df.work()' end;

    v_names := array(
        select distinct i.workflow || '.' || p.key from df._steps s
        join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        join df._instances i on i.instance_id = s.instance_id
        where s.state = 'ready' and s.lane = 2 or s.seq = (select e.solo_token from df._engine e) and s.state = 'running' order by 1 limit 6);
    return query select 'suspects', case when v_names = '{}' then 'ok' else 'warn' end,
        case when v_names = '{}' then 'none' else 'ran when a session died, and run again one at a time: ' || array_to_string(v_names, ', ') end,
        case when v_names <> '{}' then 'read the server log for why sessions end; three deaths alone quarantine a step (PD410)' end;

    select count(*) into v_count from df._sessions s
    where s.postmaster_started is distinct from pg_postmaster_start_time() or not exists (
        select from pg_stat_activity a where a.pid = s.pid and (a.backend_start is null or a.backend_start = s.backend_start)
          and (a.state is null or a.state not in ('idle', 'idle in transaction', 'idle in transaction (aborted)')));
    return query select 'sessions', case when v_count > 0 then 'warn' else 'ok' end,
        case when v_count > 0 then format('sessions that ended and did not give back what they held: %s', v_count) else 'whoever is registered is at work' end,
        case when v_count > 0 then 'call df.tick()' end;
end
$$;
