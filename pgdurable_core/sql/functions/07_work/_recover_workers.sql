-- _recover_workers: take back what workers hold whose lease has run out, by the server's clock.
--
-- A vanished attempt uses no try; the third on the same step quarantines it (PD410). What a worker that leaves in
-- good order still holds goes back without being counted.
create or replace function df._recover_workers(p_leaving bigint default null) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_count integer := 0;
begin
    for r in
        select s.instance_id, s.scope_id, s.step, s.seq, s.attempt, s.generation, s.started_at, s.worker_id, s.caught, p.lane, sc.map_index
        from df._steps s
        join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
        where s.state = 'running' and s.worker_id is not null and (p_leaving is null or s.worker_id = p_leaving)
          and not exists (select from df._workers w where w.worker_id = s.worker_id and w.lease_until > clock_timestamp())
        order by s.instance_id, s.scope_id, s.step
        for no key update of s skip locked
    loop
        v_count := v_count + 1;
        insert into df._attempts (instance_id, scope_id, step, generation, attempt, map_index, seq, outcome, error, started_at, worker_id)
        values (r.instance_id, r.scope_id, r.step, r.generation, r.attempt + 1, r.map_index, r.seq, 'lost',
            '{"sqlstate": "PD410", "message": "the worker that held this attempt is gone"}', r.started_at, r.worker_id)
        on conflict do nothing;
        if r.caught >= 2 and p_leaving is null then
            perform df._finish_step(r.instance_id, r.scope_id, r.step, r.seq, 'failed', null, null,
                jsonb_build_object('sqlstate', 'PD410', 'message', 'quarantined: three workers were lost while they ran it',
                    'hint', 'Read the workers'' logs, mend the step, then retry the instance.'), 'quarantined', r.started_at);
        else
            update df._steps s
            set state = 'ready', holder = null, worker_id = null, deadline_at = null, caught = r.caught + (p_leaving is null)::integer, lane = r.lane,
                enq = pg_current_xact_id(), seq = nextval('df._queue_seq'), ready_at = clock_timestamp()
            where s.instance_id = r.instance_id and s.scope_id = r.scope_id and s.step = r.step;
            perform df._wake(array[r.lane], true);
        end if;
        delete from df._stops t where t.token = r.seq;
    end loop;
    delete from df._workers w where w.lease_until < clock_timestamp() - interval '1 hour'
        and not exists (select from df._steps s where s.state = 'running' and s.worker_id = w.worker_id);
    return v_count;
end
$$;
