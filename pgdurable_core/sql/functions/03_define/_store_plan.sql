-- _store_plan: the plan of a document: found by content, or compiled and stored.
--
-- Never waits for another transaction that stores the same graph: the hash is not unique, so two
-- that store it at once keep a copy each (no engine write waits for a user's transaction).
create or replace function df._store_plan(p_document jsonb, p_caller regrole) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hash bytea;
    v_plan bigint;
    v_roles regrole[];
    v_role regrole;
begin
    v_hash := sha256(convert_to(jsonb_build_object('steps', (select jsonb_agg(s.v - 'source' - 'doc' order by s.pos)
        from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos)),
        'defaults', p_document -> 'defaults',
        -- what the text alone does not say: how it is compiled, and who bears the names of roles in it now
        'compiler', 1, 'roles', (select jsonb_object_agg(r.name, to_regrole(quote_ident(r.name))::oid::text) from (
            select distinct v #>> '{}' as name from jsonb_path_query(p_document, 'strict $.**.run_as') v) r))::text, 'UTF8'));
    -- held until the version that names it is committed, against purge alone; one that is being purged is as good as gone
    select p.plan_id into v_plan from df._plans p where p.hash = v_hash order by p.plan_id limit 1 for key share skip locked;
    if v_plan is null then
        insert into df._plans (hash, step_count, sink_count) values (v_hash, 0, 0) returning plan_id into v_plan;
        insert into df._plan_steps
        select v_plan, c.step, c.key, c.kind, c.lane, c.class, c.statement_class, c.rule, c.n, c.upstream, c.succ, c.succ_ord,
            c.shards, c.is_join, null, null, false, c.parent, c.gather, c.each_step, c.texts, c.modes, c.parts, c.binds, c.run, c.run_as,
            c.connection, c.pool, c.retries, c.retry_delay, c.timeout, c.result_name
        from df._compile_plan(p_document) c;
        -- the short way: success leads to one real step that waits for nobody else, or straight to the end
        update df._plan_steps s set next_step = case when n.kind = 'end' then 0 else n.step end, next_lane = n.lane,
            next_is_alike = s.kind = 'sql' and n.kind = 'sql' and s.lane = 1 and n.lane = 1 and n.timeout is null
                and s.run_as is not distinct from n.run_as and s.connection is not distinct from n.connection
        from df._plan_steps n
        where s.plan_id = v_plan and n.plan_id = v_plan and s.parent is null and s.kind not in ('start', 'map', 'gather')
          and cardinality(s.succ) = 1 and n.step = s.succ[1] and not n.is_join and n.kind not in ('empty', 'gather')
          and df._decide(n.rule, 1, 1, 0, 0, 0, 0) = 'run';
        update df._plans p
        set step_count = (select max(s.step) from df._plan_steps s where s.plan_id = v_plan),
            sink_count = (select s.n from df._plan_steps s where s.plan_id = v_plan and s.kind = 'end'),
            roles = array(select distinct s.run_as from df._plan_steps s where s.plan_id = v_plan and s.run_as is not null)
        where p.plan_id = v_plan;
    end if;
    select p.roles into v_roles from df._plans p where p.plan_id = v_plan;
    foreach v_role in array v_roles loop
        if not df._may_be(p_caller, v_role) then
            raise exception '% may not run steps as %', p_caller, v_role
                using errcode = 'PD403', hint = format('grant %s to %s', v_role, p_caller);
        end if;
    end loop;
    return v_plan;
end
$$;
