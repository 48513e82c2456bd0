-- _finish_simple: the short way for success: checkpoint, and the one step it leads to.
--
-- False when it changed nothing: the claim is lost, or the step was decided early; the caller
-- then takes the long way, which says which.
--
-- Locks   the step row; the instance row at the end or at its first step.
create or replace function df._finish_simple(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_plan bigint,
    p_next integer, p_lane smallint, p_result json, p_rows bigint, p_started timestamptz, p_first boolean, p_generation integer) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = 0
set row_security = off
as $$
begin
    update df._steps s
    set state = 'completed', attempt = s.attempt + 1, holder = null, finished_at = clock_timestamp(), started_at = p_started,
        result = p_result, row_count = p_rows, error = null, deadline_at = null, is_suspect = false
    where s.instance_id = p_instance and s.scope_id = p_scope and s.step = p_step and s.seq = p_token
      and s.state in ('ready', 'running') and s.is_settled;
    if not found then
        return false;
    end if;
    if p_next > 0 then
        if p_generation = 1 then
            insert into df._steps (instance_id, scope_id, step, plan_id, state, lane)
            values (p_instance, p_scope, p_next, p_plan, 'ready', p_lane);
        else
            insert into df._steps as t (instance_id, scope_id, step, plan_id, state, lane)
            values (p_instance, p_scope, p_next, p_plan, 'ready', p_lane)
            on conflict (instance_id, scope_id, step) do update
            set state = 'ready', lane = excluded.lane, enq = excluded.enq, seq = excluded.seq, ready_at = excluded.ready_at, is_settled = true
            where t.state = 'waiting';
        end if;
        if p_lane <> 1 then
            perform df._wake(array[p_lane], false);
        end if;
        if p_first then
            perform df._mark_running(p_instance, p_started);
        end if;
    else
        update df._instances i
        set state = 'completed', started_at = coalesce(i.started_at, p_started), finished_at = clock_timestamp()
        where i.instance_id = p_instance and i.state in ('pending', 'running');
    end if;
    return true;
end
$$;
