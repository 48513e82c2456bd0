-- _complete_claimed: record a worker's result. The caller must be the login of the worker that holds the claim,
-- or the role the step runs as when the step is a session's. Repeating it with the same token answers the same.
create or replace function df._complete_claimed(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    s record;
begin
    select t.state, t.seq, p.statement_class, w.login, coalesce(p.run_as, (i.settings -> 'connections' ->> p.connection)::oid::regrole, i.submitted_by) as role, i.state as instance_state into s
    from df._steps t
    join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step
    join df._instances i on i.instance_id = t.instance_id
    left join df._workers w on w.worker_id = t.worker_id
    where t.instance_id = p_args ->> 'instance_id' and t.scope_id = (p_args ->> 'scope_id')::bigint and t.step = (p_args ->> 'step')::integer;
    if not found then
        raise exception 'there is no such claim' using errcode = 'PD404';
    end if;
    if s.seq = (p_args ->> 'token')::bigint and s.state = 'completed' then
        return 'completed';
    end if;
    if s.state <> 'running' or s.login is null then
        raise exception 'the claim on step % of instance % is lost', p_args ->> 'step', p_args ->> 'instance_id' using errcode = 'PD409',
            hint = 'Another worker took it over, or it was cancelled; drop the result.';
    end if;
    if s.login is distinct from p_caller::text and s.login is distinct from trim(both '"' from p_caller::text)
        and not (s.statement_class is not null and s.role = p_caller) then
        raise exception 'this claim is not yours' using errcode = 'PD403';
    end if;
    if s.instance_state not in ('pending', 'running') or exists (select from df._stops t where t.token = (p_args ->> 'token')::bigint) then
        raise exception 'stopped while it ran' using errcode = 'PD499';
    end if;
    if octet_length(p_args ->> 'result') > (select e.max_result_bytes from df._engine e) then
        raise exception 'the result is larger than % bytes', (select e.max_result_bytes from df._engine e) using errcode = 'PD413',
            hint = 'Write it to a table or a file and return a key.';
    end if;
    perform df._finish_step(p_args ->> 'instance_id', (p_args ->> 'scope_id')::bigint, (p_args ->> 'step')::integer, (p_args ->> 'token')::bigint,
        'completed', (p_args ->> 'result')::json, (p_args ->> 'row_count')::bigint, null, null, null);
    return 'completed';
end
$$;
