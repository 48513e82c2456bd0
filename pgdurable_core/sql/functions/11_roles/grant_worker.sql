-- grant_worker: let a login work for a role: EXECUTE on the worker's calls and on that role's runner, no membership.
create or replace function df.grant_worker(p_worker text, p_role text default null) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker regrole := to_regrole(quote_ident(p_worker));
    v_role regrole := to_regrole(quote_ident(coalesce(p_role, p_worker)));
    v_runner oid;
    f record;
begin
    if v_worker is null or v_role is null then
        raise exception 'there is no role %', case when v_worker is null then p_worker else p_role end using errcode = 'PD404';
    end if;
    if df._me() <> (select n.nspowner from pg_namespace n where n.nspname = 'df') then
        raise exception 'only the owner of schema df says who works for whom' using errcode = 'PD403';
    end if;
    v_runner := df._runner(v_role);
    if v_runner is null then
        raise exception 'role % has no runner', v_role using errcode = 'PD404', hint = format('select df.grant_usage(%L)', v_role::text);
    end if;
    execute format('grant usage on schema df, df_runners to %s', v_worker::text);
    for f in
        select p.oid::regprocedure::text as signature, p.prokind from pg_proc p
        where p.pronamespace = 'df'::regnamespace and p.proname in ('work', 'tick', 'signal_stops', 'claim_step', 'fail_step', 'skip_step', 'complete_step',
            'session_text', 'log', 'stopped', 'beat', 'register_worker', 'unregister_worker', 'sleep_worker', 'wake_worker', 'get_module', 'has_work', 'next_due',
            'version', '_ask', '_me', '_enter', '_need_commits', '_backend_start', '_turn', '_ahead', '_leave', '_clean', '_own_since', '_watch_client', '_tick_stops', '_tick_recover', '_tick_promote', '_tick_purge', '_due_stops')
    loop
        execute format('grant execute on %s %s to %s', case f.prokind when 'p' then 'procedure' else 'function' end, f.signature, v_worker::text);
    end loop;
    execute format('grant execute on function df.prometheus() to %s', v_worker::text);
    execute format('grant insert (verb, args) on df._calls to %s', v_worker::text);
    -- the runner belongs to the role; whoever made it may hand it on
    execute format('grant execute on function %s to %s', v_runner::regprocedure, v_worker::text);
    insert into df._worker_roles (worker, role) values (v_worker, v_role) on conflict do nothing;
    update df._engine e set epoch = e.epoch + 1;
    if v_worker <> df._me() and not pg_has_role(df._me(), v_worker, 'usage') then
        raise warning 'the owner of df cannot see the sessions of %: one that hangs on after an error is found only when it ends', v_worker
            using hint = format('grant %s to %s', v_worker, df._me());
    end if;
end
$$;
comment on function df.grant_worker(text, text) is 'let a login execute the steps of a role; one worker login per trust domain';
