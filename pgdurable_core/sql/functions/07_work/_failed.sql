-- _failed: record an attempt that failed, in the transaction that undid its effects; the one-commit lane is forfeited.
--
-- Locks and raises as _fail_attempt.
create or replace function df._failed(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_started timestamptz,
    p_state text, p_message text, p_detail text, p_hint text, p_context text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df._count_speed(t.plan_id, p_step, false) from df._steps t
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step;
    perform df._fail_attempt(p_instance, p_scope, p_step, p_token,
        jsonb_strip_nulls(jsonb_build_object('sqlstate', p_state, 'message', p_message, 'detail', nullif(p_detail, ''), 'hint', nullif(p_hint, ''),
            'context', nullif(df._own_context(p_context), ''))),
        p_state not in ('PD403', 'PD501'), p_started);
end
$$;
