-- _own_claim: the state of a claim, for a role that may speak about it: while it runs the login of the worker that
-- holds it, and of a SQL step the role it runs as; afterwards, when nobody holds it any more, who works for its role.
--
-- Anybody else hears what is said of a claim that never was, so that nobody learns of what is not theirs.
--
-- Raises  PD409 the claim is lost, ended for good before, another's, or none.
create or replace function df._own_claim(p_caller regrole, p_instance text, p_scope bigint, p_step integer, p_token bigint) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
begin
    select t.state into v_state
    from df._steps t
    join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step
    join df._instances i on i.instance_id = t.instance_id
    left join df._workers w on w.worker_id = t.worker_id
    cross join lateral (select coalesce(p.run_as, (i.settings -> 'connections' ->> p.connection)::oid::regrole, i.submitted_by) as role) r
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step and t.seq = p_token and t.state not in ('ready', 'waiting')
      and case when t.state = 'running' then w.worker_id is not null
            and (to_regrole(quote_ident(w.login)) = p_caller or p.statement_class is not null and r.role = p_caller)
        else has_function_privilege(p_caller, df._runner(r.role), 'execute') end;
    if not found then
        raise exception 'the claim on step % of instance % is lost', p_step, p_instance using errcode = 'PD409',
            hint = 'Another worker took it over, or it was cancelled; drop the result.';
    end if;
    return v_state;
end
$$;
