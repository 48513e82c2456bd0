-- _tick_stops: stop rows for what runs too long or belongs to an instance that is over.
create or replace function df._tick_stops() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
    a record;
begin
    perform df._refuse_copy();
    perform pg_stat_clear_snapshot();
    insert into df._stops (token, session_id, worker_id, instance_id, reason)
    select s.seq, s.holder, s.worker_id, s.instance_id, case when i.state in ('pending', 'running') then 'timeout' else 'cancel' end
    from df._steps s left join df._instances i on i.instance_id = s.instance_id
    where s.state = 'running' and (s.deadline_at < clock_timestamp() or i.state is null or i.state not in ('pending', 'running'))
    on conflict do nothing;
    get diagnostics v_count = row_count;
    -- the one-commit lane: what runs is seen by its advert alone, and looked up only when it turned slow
    for a in
        select x.pid, x.token, x.since, se.session_id from df._adverts() x join df._sessions se on se.pid = x.pid
        where coalesce(x.since, '-infinity') < clock_timestamp() - interval '100 milliseconds'
          and not exists (select from df._steps s where s.state = 'running' and s.holder = se.session_id)
          and not exists (select from df._stops t where t.token = x.token)
    loop
        insert into df._stops (token, session_id, instance_id, reason)
        select s.seq, a.session_id, s.instance_id, case when i.state in ('pending', 'running') then 'timeout' else 'cancel' end
        from df._steps s
        left join df._instances i on i.instance_id = s.instance_id
        join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        where s.state = 'ready' and s.lane = 1 and s.seq = a.token
          and (i.state is null or i.state not in ('pending', 'running') or a.since + p.timeout < clock_timestamp())
        on conflict do nothing;
    end loop;
    delete from df._stops t where t.created_at < clock_timestamp() - interval '1 minute'
        and not exists (select from df._steps s where s.instance_id = t.instance_id and s.seq = t.token and s.state in ('running', 'ready'));
    return v_count;
end
$$;
