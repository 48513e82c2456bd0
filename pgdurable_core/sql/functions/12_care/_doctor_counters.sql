-- _doctor_counters: whether what was counted is what happened, for the newest instances that ended, and whether
-- every open instance has something that can go on. Ends after p_seconds, wherever it is then.
create or replace function df._doctor_counters(p_instances integer default 200, p_seconds numeric default 5) returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    i record;
    v_began constant timestamptz := clock_timestamp();
    v_looked integer := 0;
    v_wrong integer := 0;
    v_why text;
begin
    for i in select x.instance_id, x.plan_id, x.state, x.workflow from df._instances x order by x.created_at desc limit p_instances loop
        exit when v_wrong = 5 or clock_timestamp() > v_began + make_interval(secs => p_seconds);
        continue when i.state not in ('completed', 'failed') or exists (select from df._commands c where c.instance_id = i.instance_id);
        v_looked := v_looked + 1;
        v_why := df._miscounted(i.instance_id, i.plan_id);
        if v_why is not null then
            v_wrong := v_wrong + 1;
            return query select 'counters', 'bad', format('%s %s: %s', i.workflow, i.instance_id, v_why),
                format('pgdurable explain %s; a mistake of ours, or a hand in the tables: keep both for a report', i.instance_id);
        end if;
    end loop;
    if v_wrong = 0 then
        return query select 'counters', 'ok', format('agree with the steps; instances looked at: %s', v_looked), null::text;
    end if;

    return query
    select 'stuck', 'bad', format('%s %s is open and nothing of it can go on', x.workflow, x.instance_id),
        format('pgdurable cancel %s, then pgdurable retry %s, which counts anew', x.instance_id, x.instance_id)
    from (select o.instance_id, o.workflow from df._instances o where o.finished_at is null order by o.created_at limit 1000) x
    where not exists (select from df._steps s where s.instance_id = x.instance_id and s.state in ('ready', 'running', 'sleeping', 'retrying'))
      and not exists (select from df._commands c where c.instance_id = x.instance_id)
    limit 5;
    if not found then
        return query select 'stuck', 'ok', 'every open instance has a step that runs, waits or is due', null::text;
    end if;
end
$$;
