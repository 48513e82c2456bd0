-- _cancel_step: record a stopped step of a cancelled instance. Nothing follows from it.
create or replace function df._cancel_step(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_started timestamptz) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df._steps s set state = 'cancelled', holder = null, worker_id = null, due_at = null, deadline_at = null,
        -- of a claim that was committed, its beginning: who records the stop may have come back to it for that alone
        started_at = case when s.state = 'running' then coalesce(s.started_at, p_started) else coalesce(p_started, s.started_at) end, finished_at = clock_timestamp(), reason = 'cancelled',
        error = '{"sqlstate": "PD499", "message": "cancelled"}'
    where s.instance_id = p_instance and s.scope_id = p_scope and s.step = p_step and s.seq = p_token and s.state in ('ready', 'running')
$$;
