-- _fail_attempt: record a failed attempt and decide whether the step tries again.
--
-- Call it in the transaction that rolled the step's own effects back to its savepoint. The decision
-- reads the plan, never the caller. Returns retrying or failed.
--
-- Locks   the step row; then as _finish_step.
-- Raises  PD409 when the claim is lost.
create or replace function df._fail_attempt(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_error jsonb,
    p_retryable boolean, p_started timestamptz) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = 0
set row_security = off
as $$
declare
    s record;
begin
    select p.lane, t.attempt, t.generation, t.started_at, t.holder, t.worker_id, t.max_attempts, t.caught, p.retries, p.retry_delay, sc.map_index into s
    from df._steps t
    join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step
    left join df._scopes sc on t.scope_id <> 0 and sc.instance_id = t.instance_id and sc.scope_id = t.scope_id
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step and t.seq = p_token and t.state in ('ready', 'running')
    for no key update of t;
    if not found then
        raise exception 'the claim on step % of instance % is lost', p_step, p_instance using errcode = 'PD409';
    end if;
    if p_error ->> 'sqlstate' ~ '^(08|53|57P0[1-4]|58)' and s.caught < 10 then
        -- the server's fault: no try is charged, the step comes back in a moment
        update df._steps t
        set state = 'retrying', lane = s.lane, holder = null, worker_id = null, error = p_error, deadline_at = null, due_at = df._now() + interval '5 seconds',
            caught = t.caught + 1, is_suspect = false
        where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step;
        return 'retrying';
    end if;
    if not p_retryable or s.attempt + 1 >= coalesce(s.max_attempts, s.retries + 1) then
        perform df._finish_step(p_instance, p_scope, p_step, p_token, 'failed', null, null, p_error, null, p_started);
        return 'failed';
    end if;
    insert into df._attempts (instance_id, scope_id, step, generation, attempt, map_index, seq, outcome, error, started_at, holder, worker_id)
    values (p_instance, p_scope, p_step, s.generation, s.attempt + 1, s.map_index, p_token, 'failed', p_error,
        coalesce(p_started, s.started_at), s.holder, s.worker_id);
    update df._steps t
    set state = 'retrying', lane = s.lane, attempt = s.attempt + 1, holder = null, worker_id = null, error = p_error, deadline_at = null,
        due_at = df._now() + s.retry_delay, is_suspect = false
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step;
    return 'retrying';
end
$$;
