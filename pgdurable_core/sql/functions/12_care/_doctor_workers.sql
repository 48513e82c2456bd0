-- _doctor_workers: who is there to work, of which version, and for whom nobody is.
--
-- Steps that are due for a minute: before that a psql or pg_cron that works now and then has its chance.
create or replace function df._doctor_workers(p_patience interval default '1 minute') returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    v_alive constant bigint := (select count(*) from df._workers w where w.lease_until > clock_timestamp());
    v_waiting bigint;
    v_version constant text := (select e.version from df._engine e);
begin
    select count(*) into v_waiting from (
        select from df._steps s where s.state = 'ready' and s.ready_at < clock_timestamp() - p_patience limit 1000) x;
    if v_alive = 0 then
        return query select 'workers', case when v_waiting > 0 then 'bad' else 'ok' end,
            'no worker is alive; steps that wait: ' || v_waiting || case when v_waiting = 1000 then ' or more' else '' end,
            case when v_waiting > 0 then 'pgdurable worker' end;
        return;
    end if;
    return query
    select 'workers', 'warn', format('worker %s (%s) is pgdurable %s, the engine %s', w.name, w.host, w.version, v_version),
        case when string_to_array(substring(w.version from '^[0-9.]+'), '.')::integer[] < string_to_array(substring(v_version from '^[0-9.]+'), '.')::integer[]
            then 'on its host: pip install --upgrade pgdurable, then restart it' else 'pgdurable init' end
    from df._workers w where w.lease_until > clock_timestamp() and w.version <> v_version
    union all
    select 'workers', 'bad', format('no worker may run the SQL steps of %s; steps that wait: %s', x.role, x.waiting), format('select df.grant_worker(''...'', %L)', x.role::text)
    from (
        select coalesce(p.run_as, (i.settings -> 'connections' ->> p.connection)::oid::regrole, i.submitted_by) as role, count(*) as waiting
        from (select s.instance_id, s.plan_id, s.step from df._steps s
            where s.state = 'ready' and s.lane = 1 and s.ready_at < clock_timestamp() - p_patience limit 1000) s
        join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step and p.kind <> 'map'
        join df._instances i on i.instance_id = s.instance_id and i.state in ('pending', 'running')
        group by 1
    ) x
    where not exists (
        select from df._workers w join pg_roles r on r.rolname = w.login
        where w.lease_until > clock_timestamp() and has_function_privilege(r.oid, df._runner(x.role), 'execute'))
    limit 20;
    if not found then
        return query
        select 'workers', 'ok', format('alive: %s, last beat %s s ago', v_alive, round(extract(epoch from clock_timestamp() - max(w.last_beat_at)), 1)), null::text
        from df._workers w where w.lease_until > clock_timestamp();
    end if;
end
$$;
