-- _purge_turn: one transaction of purging, from where the one before it left off.
--
-- p holds what is asked: older_than, keep_keys (without them what df._retention says), only (one workflow), namespace,
-- batch · how far it is: workflow, phase (instances, keys, versions, then plans of all), at, id · what went: instances,
-- run_keys, versions, plans, modules · over, when there is nothing more. Workflow by workflow; one that has nothing to
-- give costs a few looks at an index. Returns after what removed something, or after 100 ms.
--
-- Locks   see Lock order.
create or replace function df._purge_turn(p jsonb) returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_batch constant integer := least(coalesce((p ->> 'batch')::integer, 500), 10000);
    v_until constant timestamptz := clock_timestamp() + interval '100 milliseconds';
    v_now constant timestamptz := df._now();
    v_workflow bigint := coalesce((p ->> 'workflow')::bigint, 0);
    v_phase text := coalesce(p ->> 'phase', 'next');
    v_at timestamptz := coalesce((p ->> 'at')::timestamptz, '-infinity');
    v_id text := coalesce(p ->> 'id', '');
    v_keep interval;
    v_keep_keys interval;
    v_gone integer;
    v_over boolean;
begin
    if df._purge_left() is not null then
        return p;
    end if;
    loop
        if v_phase = 'next' then
            select min(w.workflow_id) into v_workflow from df._workflows w
            where w.workflow_id > v_workflow and (p ->> 'only' is null or w.workflow_id = (p ->> 'only')::bigint)
              and (p ->> 'namespace' is null or w.namespace = p ->> 'namespace');
            v_phase := case when v_workflow is null then 'plans' else 'instances' end;
        end if;
        if v_phase <> 'plans' then
            select coalesce((p ->> 'older_than')::interval, k.keep), coalesce((p ->> 'keep_keys')::interval, k.keep_keys)
            into v_keep, v_keep_keys from df._kept(v_workflow) k;
        end if;
        v_gone := 0;
        v_over := true;
        if v_phase = 'instances' and v_keep is not null then
            select x.p_at, x.p_id, x.gone, x.is_over into v_at, v_id, v_gone, v_over
            from df._purge_instances(v_workflow, v_now - v_keep, v_batch, v_at, v_id) x;
        elsif v_phase = 'keys' then
            select x.p_at, x.p_key, x.gone, x.is_over into v_at, v_id, v_gone, v_over
            from df._purge_keys(v_workflow, v_now - v_keep_keys, v_batch * 4, v_at, v_id) x;
        elsif v_phase = 'versions' and v_keep is not null then
            v_gone := df._purge_versions(v_workflow, v_now - v_keep);
        elsif v_phase = 'plans' then
            v_gone := df._purge_plans();
            v_over := v_gone = 0;
        end if;
        p := jsonb_set(p, array[case v_phase when 'keys' then 'run_keys' else v_phase end],
            to_jsonb(coalesce((p ->> case v_phase when 'keys' then 'run_keys' else v_phase end)::bigint, 0) + v_gone));
        if v_over and v_phase = 'plans' then
            return p || jsonb_build_object('over', true, 'modules', df._purge_modules(
                v_now - coalesce((p ->> 'older_than')::interval, (select e.retain_finished from df._engine e))));
        elsif v_over then
            v_phase := case v_phase when 'instances' then 'keys' when 'keys' then 'versions' else 'next' end;
            v_at := '-infinity';
            v_id := '';
        end if;
        if v_gone > 0 or clock_timestamp() > v_until then
            return p || jsonb_build_object('workflow', v_workflow, 'phase', v_phase, 'at', nullif(v_at, '-infinity'), 'id', v_id);
        end if;
    end loop;
end
$$;
