-- log: lines of a step's output. Only from a login that may run the steps of the role this one runs as, and while the
-- claim runs from the login that holds it; others, and for a token that never was, are told that nothing was kept.
-- On the one-commit lane a step that runs still looks ready from outside.
create or replace function df.log(instance_id text, scope_id bigint, step integer, token bigint, stream text, lines text[]) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_have bigint;
    v_most integer;
    v_count integer;
    v_attempt integer;
begin
    select case when s.seq = $4 then s.attempt + (s.state in ('running', 'ready'))::integer else x.attempt end into v_attempt
    from df._steps s
    join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
    join df._instances i on i.instance_id = s.instance_id
    left join df._attempts x on x.instance_id = s.instance_id and x.scope_id = s.scope_id and x.step = s.step and x.seq = $4
    left join df._workers w on w.worker_id = s.worker_id
    left join df._sessions se on se.session_id = s.holder
    where s.instance_id = $1 and s.scope_id = $2 and s.step = $3
      and (s.seq = $4 and s.state <> 'waiting' or x.seq is not null)
      and (s.seq <> $4 or s.state <> 'running' or session_user in (w.login, se.login))
      and has_function_privilege(session_user, df._runner(coalesce(p.run_as,
            (i.settings -> 'connections' ->> p.connection)::oid::regrole, i.submitted_by)), 'execute')
    limit 1;
    if not found then
        return 0;
    end if;
    -- of an instance that ended: until these lines are committed purge passes it by; there are no other writers to meet
    if exists (select from df._instances i where i.instance_id = $1 and i.finished_at is not null) then
        perform from df._instances i where i.instance_id = $1 for key share skip locked;
        if not found then
            return 0;
        end if;
    end if;
    select count(*) into v_have from df._logs l where l.instance_id = $1 and l.scope_id = $2 and l.step = $3 and l.token = $4;
    select e.max_log_lines into v_most from df._engine e;
    insert into df._logs (instance_id, scope_id, step, attempt, token, stream, line)
    select $1, $2, $3, v_attempt, $4, $5, left(x.line, 65536)
    from unnest($6) with ordinality x(line, pos)
    where x.pos <= v_most - v_have
    order by x.pos;
    get diagnostics v_count = row_count;
    if v_have < v_most and v_have + cardinality($6) >= v_most then
        insert into df._logs (instance_id, scope_id, step, attempt, token, stream, line)
        values ($1, $2, $3, v_attempt, $4, 'engine', format('the log ends here: more than %s lines', v_most));
    end if;
    return v_count;
end
$$;
comment on function df.log(text, bigint, integer, bigint, text, text[]) is 'keep lines of a step''s output, in a transaction of their own, so that they outlive its rollback';
