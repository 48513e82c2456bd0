-- _start: make an instance and its first steps, in the caller's transaction.
--
-- The instance acts as the workflow's owner; `actor` says who started it. A run_key that is taken
-- answers with the instance that took it, also when that one is long purged.
--
-- Locks   the advisory lock 0xDF02 shared, or the version's row for key share: see Lock order.
-- Raises  PD500 this database is a copy; PD404 no such workflow; PD403 another's workflow, or a role without a runner; PD400 params.
create or replace function df._start(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_namespace text := coalesce(p_args ->> 'namespace', 'default');
    w record;
    v_id text;
    v_params jsonb;
    v_logical timestamptz := (p_args ->> 'logical_date')::timestamptz;
    v_key text := p_args ->> 'run_key';
    v_settings jsonb := '{}';
    v_role regrole;
    v_taken text;
    v_missing text;
    v_guarded boolean;
begin
    perform df._refuse_copy();
    loop
        -- before the version is read, and until the caller commits: purge removes no old version meanwhile
        -- who locks the row waits for it, and must not hold the other
        v_guarded := case when current_setting('transaction_isolation') = 'read committed' then pg_try_advisory_xact_lock_shared(57090::bigint << 48) else false end;
        select x.workflow_id, x.name, x.version, x.created_by, v.plan_id, v.document -> 'params' as params, pl.roles into w
        from df._workflows x
        join df._workflow_versions v on v.workflow_id = x.workflow_id and v.version = x.version
        join df._plans pl on pl.plan_id = v.plan_id
        where x.namespace = v_namespace and x.name = p_args ->> 'name';
        if not found then
            raise exception 'there is no workflow % in namespace %', coalesce(quote_literal(p_args ->> 'name'), 'null'), v_namespace using errcode = 'PD404',
                hint = coalesce('Known: ' || (select string_agg(x.name, ', ') from (select y.name from df._workflows y where y.namespace = v_namespace order by 1 limit 8) x),
                    'None is deployed yet: pgdurable deploy FILE.');
        end if;
        exit when v_guarded;
        perform from df._workflow_versions v where v.workflow_id = w.workflow_id and v.version = w.version for key share;
        exit when found;
    end loop;
    if not df._may(p_caller, w.created_by) then
        raise exception 'workflow % belongs to %', w.name, w.created_by using errcode = 'PD403', hint = format('grant %s to %s', w.created_by, p_caller);
    end if;
    if v_key is not null then
        if length(v_key) > 1000 then
            raise exception 'run_key is longer than 1000 characters' using errcode = 'PD413';
        end if;
        if v_key !~ '^[A-Za-z0-9_.:+@~=/ -]+$' or v_key ~ '--' then
            -- it is the run_id, which {run_id} puts into SQL and shell text as it is
            raise exception 'run_key % holds more than A-Z a-z 0-9 _ . : + @ ~ = / - and blank', quote_literal(v_key) using errcode = 'PD400',
                hint = 'Encode what is outside of it, or use a hash.';
        end if;
        v_id := df._instance_id(nextval('df._instance_ids'));
        loop
            insert into df._run_keys (workflow_id, run_key, instance_id) values (w.workflow_id, v_key, v_id) on conflict do nothing;
            exit when found;
            v_taken := (select k.instance_id from df._run_keys k where k.workflow_id = w.workflow_id and k.run_key = v_key);
            if v_taken is not null then
                return v_taken;
            end if;
            -- its time ran out between the two statements
        end loop;
    else
        v_id := df._instance_id(nextval('df._instance_ids'));
    end if;
    v_params := df._check_params(w.params, p_args -> 'params');
    select string_agg(distinct c.connection, ', ') into v_missing
    from df._plan_steps c
    where c.plan_id = w.plan_id and c.connection is not null
      and not exists (select from df._connections n where n.namespace = v_namespace and n.name = c.connection);
    if v_missing is not null then
        raise exception 'connection % is not known in this database', v_missing using errcode = 'PD404',
            hint = format('select df.set_connection(%L), or name it in pgdurable.toml and deploy.', split_part(v_missing, ', ', 1));
    end if;
    select jsonb_build_object('rows', e.max_result_rows, 'bytes', e.max_result_bytes, 'connections',
        (select jsonb_object_agg(n.name, n.role::oid::text) from df._connections n where n.namespace = v_namespace and n.role is not null
            and n.name in (select c.connection from df._plan_steps c where c.plan_id = w.plan_id)))
    into v_settings from df._engine e;
    for v_role in
        select w.created_by union select unnest(w.roles)
        union select x.value::oid::regrole from jsonb_each_text(case when v_settings -> 'connections' <> 'null' then v_settings -> 'connections' else '{}' end) x
    loop
        if df._runner(v_role) is null then
            raise exception 'role % has no runner, so nothing can run as it', v_role using errcode = 'PD403',
                hint = format('select df.grant_usage(%L)', v_role::text);
        end if;
        if not df._may_be(w.created_by, v_role) then
            raise exception '% may not run steps as %', w.created_by, v_role using errcode = 'PD403', hint = format('grant %s to %s', v_role, w.created_by);
        end if;
        v_settings := v_settings || jsonb_build_object(v_role::oid::text, df._role_settings(v_role));
    end loop;
    insert into df._instances (instance_id, workflow_id, version, plan_id, namespace, workflow, label, run_key, run_id, run_type, logical_date,
        data_interval_start, data_interval_end, params, settings, has_deadlines, submitted_by, actor, reason, traceparent)
    values (v_id, w.workflow_id, w.version, w.plan_id, v_namespace, w.name, p_args ->> 'label', v_key,
        coalesce(v_key, 'manual__' || df._iso(coalesce(v_logical, clock_timestamp()))), 'manual', v_logical,
        coalesce((p_args ->> 'data_interval_start')::timestamptz, v_logical), coalesce((p_args ->> 'data_interval_end')::timestamptz, v_logical),
        v_params, v_settings, v_settings @? '$.*.more.statement_timeout', w.created_by, p_args ->> 'actor', p_args ->> 'reason', p_args ->> 'traceparent');
    perform df._advance(v_id, w.plan_id, 0, '{0}', '{1,0,0,0,0}');
    perform df._wake('{1}', true);
    return v_id;
end
$$;
