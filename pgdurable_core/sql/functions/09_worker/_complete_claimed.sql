-- _complete_claimed: record a worker's result, of a claim that is the caller's own. Repeating it with the same token
-- answers the same.
create or replace function df._complete_claimed(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
begin
    v_state := df._own_claim(p_caller, p_args ->> 'instance_id', (p_args ->> 'scope_id')::bigint, (p_args ->> 'step')::integer, (p_args ->> 'token')::bigint);
    if v_state = 'completed' then
        return v_state;
    end if;
    if v_state = 'running' and df._is_stopped(p_args ->> 'instance_id', (p_args ->> 'token')::bigint) then
        raise exception 'stopped while it ran' using errcode = 'PD499';
    end if;
    if octet_length(p_args ->> 'result') > (select e.max_result_bytes from df._engine e) then
        raise exception 'the result is larger than % bytes', (select e.max_result_bytes from df._engine e) using errcode = 'PD413',
            hint = 'Write it to a table or a file and return a key.';
    end if;
    if df._finish_step(p_args ->> 'instance_id', (p_args ->> 'scope_id')::bigint, (p_args ->> 'step')::integer, (p_args ->> 'token')::bigint,
        'completed', (p_args ->> 'result')::json, (p_args ->> 'row_count')::bigint, null, null, null) is not null then
        perform df._wake('{1}', true);      -- no session of df.work is here to follow
    end if;
    return 'completed';
end
$$;
