create or replace function df.fail_step(instance_id text, scope_id bigint, step integer, token bigint, error jsonb, retryable boolean default true) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_stop text;
    v_answer text;
begin
    v_answer := df._own_claim(quote_ident(session_user)::regrole, $1, $2, $3, $4);
    if v_answer in ('retrying', 'failed', 'cancelled') then
        return v_answer;        -- a repeat after a lost answer hears the same
    end if;
    v_stop := df._stop_reason($1, $4);
    if v_stop = 'cancel' and v_answer = 'running' then
        perform df._cancel_step($1, $2, $3, $4, null);
        v_answer := 'cancelled';
    else
        v_answer := df._fail_attempt($1, $2, $3, $4, case when v_stop = 'timeout'
            then jsonb_build_object('sqlstate', 'PD408', 'message', 'the attempt ran longer than its timeout') else $5 end, $6, null);
    end if;
    if v_answer = 'failed' then
        perform df._wake('{1}', true);
    end if;
    perform df._end_stop($4);
    return v_answer;
end
$$;
comment on function df.fail_step(text, bigint, integer, bigint, jsonb, boolean) is 'record that a claimed step failed; the engine decides whether it tries again';
