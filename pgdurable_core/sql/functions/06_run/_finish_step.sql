-- _finish_step: record a terminal outcome under its token, and carry it on.
--
-- Returns a plain step to follow, or null. Call it in the transaction that holds the step's effects.
--
-- Locks   the step row; its join when it was decided early; then as _advance.
-- Raises  PD409 when the claim is lost.
create or replace function df._finish_step(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_state text,
    p_result json, p_rows bigint, p_error jsonb, p_reason text, p_started timestamptz, p_forced integer[] default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = 0
set row_security = off
as $$
declare
    v_plan bigint;
    v_settled boolean;
    v_attempt integer := case when p_state in ('completed', 'failed') then 1 else 0 end;
begin
    update df._steps s
    set state = p_state, attempt = s.attempt + v_attempt, holder = null, worker_id = null, finished_at = clock_timestamp(),
        started_at = coalesce(p_started, s.started_at), result = p_result, row_count = p_rows, error = p_error, reason = p_reason,
        due_at = null, deadline_at = null, is_suspect = false
    where s.instance_id = p_instance and s.scope_id = p_scope and s.step = p_step and s.seq = p_token and s.state in ('ready', 'running')
    returning s.plan_id, s.is_settled into v_plan, v_settled;
    if not found then
        raise exception 'the claim on step % of instance % is lost', p_step, p_instance using errcode = 'PD409',
            hint = 'Another worker took it over, or it was cancelled; drop the result.';
    end if;
    if not v_settled then
        update df._joins j set is_terminal = true
        where j.instance_id = p_instance and j.scope_id = p_scope and j.step = p_step and j.shard = 0
        returning j.s + j.f + j.k + j.u + j.r >= j.n into v_settled;
    end if;
    return df._advance(p_instance, v_plan, p_scope, array[p_step], df._vector(p_state), p_forced, not coalesce(v_settled, true));
end
$$;
