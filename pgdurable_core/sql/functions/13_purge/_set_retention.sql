-- _set_retention: keep, change or remove the row that says how long finished instances are kept.
create or replace function df._set_retention(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_workflow constant text := coalesce(p_args ->> 'workflow', '');
    v_namespace constant text := coalesce(p_args ->> 'namespace',
        case when v_workflow <> '' then coalesce(nullif(current_setting('df.namespace', true), ''), 'default') else '' end);
    v_keep constant interval := p_args ->> 'keep';
    v_keep_keys constant interval := p_args ->> 'keep_keys';
begin
    perform df._may_purge(p_caller);
    if v_keep < interval '0' or v_keep_keys < interval '0' then
        raise exception 'nothing can be kept for less than no time' using errcode = 'PD400';
    end if;
    if v_keep is null and v_keep_keys is null then
        delete from df._retention r where r.namespace = v_namespace and r.workflow = v_workflow;
    else
        insert into df._retention as r (namespace, workflow, keep, keep_keys, set_by) values (v_namespace, v_workflow, v_keep, v_keep_keys, p_args ->> 'actor')
        on conflict (namespace, workflow) do update set keep = excluded.keep, keep_keys = excluded.keep_keys, set_by = excluded.set_by, set_at = clock_timestamp();
    end if;
    return concat_ws(', ', case when v_workflow <> '' then v_namespace || '/' || v_workflow when v_namespace <> '' then v_namespace else 'everything' end
            || case when v_keep is not null then ' is purged ' || v_keep || ' after its end' else ' is kept as the next wider rule says' end,
        case when v_keep_keys is not null then 'run keys are kept for ' || v_keep_keys end);
end
$$;
