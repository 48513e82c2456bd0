-- _grant_surface: what a user of df may name: the schema, the public functions and views, the gate, and the
-- few internals that run with the user's own rights; an operator also what looks at everybody's.
create or replace function df._grant_surface(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    f record;
begin
    execute format('grant usage on schema df to %s', p_role);
    for f in
        select p.oid::regprocedure::text as signature, p.prokind from pg_proc p
        where p.pronamespace = 'df'::regnamespace and p.proname not in ('doctor', 'prometheus')
          and (p.proname !~ '^_' and p.proname not in ('work', 'tick', 'signal_stops', 'claim_step', 'fail_step', 'skip_step', 'log', 'stopped', 'beat',
                'register_worker', 'unregister_worker', 'sleep_worker', 'wake_worker', 'get_module', 'has_work', 'next_due',
                'grant_usage', 'revoke_usage', 'grant_worker', 'grant_operator', 'adopt')
            or p.proname in ('_ask', '_me', '_run_as', '_job', '_texts', '_render', '_values', '_quote', '_rows_of', '_gathered', '_context', '_iso', '_context_row',
                '_has_deferrable_triggers', '_builder', '_trim_newlines', '_run_of', '_strptime_pattern', '_running', '_purge_answer', '_as_written',
                '_context_names', '_known_parts', '_fill_known', '_fill_text', '_open_names', '_bind_values', '_role_settings', '_check_params', '_may_be'))
    loop
        execute format('grant execute on %s %s to %s', case f.prokind when 'p' then 'procedure' else 'function' end, f.signature, p_role);
    end loop;
    if exists (select from df._roles r where r.role = p_role::regrole and r.is_operator) then
        execute format('grant execute on function df.doctor(), df.prometheus() to %s', p_role);
    end if;
    execute format('grant insert (verb, args) on df._calls to %s', p_role);
    execute format('grant select on df._jobs, df._inputs, df._map_items, df._step_facts, df._step_texts, df._session_defaults, df.workflows, df.missing_connections, df.instances, df.steps, df.running, df.attempts, df.events, df.logs, '
        'df.modules, df.variables, df.connections, df.workers, df.retention, df.run_keys to %s', p_role);
end
$$;
