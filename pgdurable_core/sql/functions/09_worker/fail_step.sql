create or replace function df.fail_step(instance_id text, scope_id bigint, step integer, token bigint, error jsonb, retryable boolean default true) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_stop text;
    v_answer text;
begin
    -- a repeat after a lost answer hears the same
    select s.state into v_answer from df._steps s
    where s.instance_id = $1 and s.scope_id = $2 and s.step = $3 and s.seq = $4 and s.state in ('retrying', 'failed', 'cancelled') and s.error is not null;
    if found then
        return v_answer;
    end if;
    perform df._own_worker((select s.worker_id from df._steps s where s.instance_id = $1 and s.scope_id = $2 and s.step = $3 and s.seq = $4 and s.state = 'running'
        union all select -1 limit 1));
    v_stop := df._stop_reason($1, $4);
    if v_stop = 'cancel' then
        perform df._cancel_step($1, $2, $3, $4, null);
        v_answer := 'cancelled';
    else
        v_answer := df._fail_attempt($1, $2, $3, $4, case when v_stop = 'timeout'
            then jsonb_build_object('sqlstate', 'PD408', 'message', 'the attempt ran longer than its timeout') else $5 end, $6, null);
    end if;
    perform df._end_stop($4);
    return v_answer;
exception when sqlstate 'PD404' then
    raise exception 'the claim on step % of instance % is lost', $3, $1 using errcode = 'PD409', hint = 'Another worker took it over; drop the result.';
end
$$;
comment on function df.fail_step(text, bigint, integer, bigint, jsonb, boolean) is 'record that a claimed step failed; the engine decides whether it tries again';
