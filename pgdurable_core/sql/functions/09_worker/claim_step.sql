create or replace function df.claim_step(worker_id bigint, lanes text[] default '{session,python,shell}') returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set synchronous_commit = on
as $$
#variable_conflict use_column
declare
    s record;
    j record;
    v_context jsonb;
    v_timeout interval;
    v_served text;
begin
    perform df._own_worker($1);
    if (select e.draining from df._engine e) then
        raise exception 'the engine is draining for an upgrade' using errcode = 'PD503';
    end if;
    v_served := df._served();
    loop
        select t.instance_id, t.scope_id, t.step, t.seq, t.plan_id, t.attempt, t.max_attempts, l.name as lane into s
        from df._lanes l
        cross join lateral (
            select x.* from df._steps x
            where x.state = 'ready' and x.lane = l.lane and x.class = 8 and df._serves(x.instance_id, x.plan_id, x.step, v_served)
            order by x.enq, x.seq limit 1 for no key update skip locked
        ) t
        where l.name = any($2) and l.lane >= 3
        limit 1;
        if not found then
            return null;
        end if;
        select i.*, p.key, p.kind, p.statement_class, p.parts, p.binds, p.texts, p.run, p.timeout, p.retries, p.connection, n.login,
            rr.role, sc.map_index, sc.item, v.document -> 'modules' as modules, i.settings -> rr.role::oid::text as role_settings
        into j
        from df._plan_steps p
        left join df._instances i on i.instance_id = s.instance_id
        left join df._workflow_versions v on v.workflow_id = i.workflow_id and v.version = i.version
        left join df._scopes sc on s.scope_id <> 0 and sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
        left join df._connections n on p.connection is not null and n.namespace = i.namespace and n.name = p.connection
        left join lateral (select coalesce(p.run_as, (i.settings -> 'connections' ->> p.connection)::oid::regrole, i.submitted_by) as role) rr on true
        where p.plan_id = s.plan_id and p.step = s.step;
        exit when j.state in ('pending', 'running');
        update df._steps t set state = 'cancelled', finished_at = clock_timestamp(), reason = 'the instance is ' || coalesce(j.state, 'gone')
        where t.instance_id = s.instance_id and t.scope_id = s.scope_id and t.step = s.step;
    end loop;
    v_timeout := least(j.timeout, case when s.lane = 'session' then df._timeout(j.role_settings -> 'more' ->> 'statement_timeout') end);
    update df._steps t
    set state = 'running', worker_id = $1, started_at = clock_timestamp(), deadline_at = clock_timestamp() + v_timeout
    where t.instance_id = s.instance_id and t.scope_id = s.scope_id and t.step = s.step;
    if j.state = 'pending' then
        perform df._mark_running(s.instance_id, clock_timestamp());
    end if;
    v_context := df._context(j.logical_date, j.data_interval_start, j.data_interval_end, j.run_id, j.workflow, j.key, s.instance_id,
        s.attempt + 1, j.map_index, s.scope_id);
    return jsonb_strip_nulls(jsonb_build_object(
        'instance_id', s.instance_id, 'scope_id', s.scope_id, 'step', s.step, 'token', s.seq, 'key', j.key, 'kind', j.kind,
        'class', j.statement_class, 'attempt', s.attempt + 1, 'max_attempts', coalesce(s.max_attempts, j.retries + 1),
        'timeout_s', extract(epoch from v_timeout), 'role', j.role::text, 'connection', j.connection, 'login', j.login, 'map_index', j.map_index,
        'workflow', j.workflow, 'idempotency_key', v_context ->> 'idempotency_key', 'runtime', j.run ->> 'runtime', 'callable', j.run ->> 'callable'))
        || jsonb_build_object('context', v_context, 'settings', j.role_settings - 'more' || coalesce(j.role_settings -> 'more', '{}') || '{"standard_conforming_strings": "on"}', 'modules', coalesce(j.modules, '{}'),
            'max_rows', j.settings -> 'rows', 'max_bytes', j.settings -> 'bytes',
            'has_names', j.kind = 'sql' and j.parts is not null,
            'sql', case when j.kind = 'sql' and j.parts is null then to_jsonb(j.texts) end)
        || case j.kind when 'python' then jsonb_build_object('args_json', df._fill((j.run -> 'args')::json, v_context, j.params, j.item, s.instance_id, s.plan_id, coalesce(j.parts, '{}'))::text)
            when 'shell' then jsonb_build_object('command', df._fill_text(j.run ->> 'command', v_context), 'append_env', coalesce((j.run ->> 'append_env')::boolean, false),
                'cwd', df._fill_text(j.run ->> 'cwd', v_context), 'env', df._fill((j.run -> 'env')::json, v_context, j.params, j.item, s.instance_id, s.plan_id, '{}'))
            else '{}'::jsonb end;
end
$$;
comment on function df.claim_step(bigint, text[]) is 'claim one step for a worker process, committed before it runs; null when nothing waits';
