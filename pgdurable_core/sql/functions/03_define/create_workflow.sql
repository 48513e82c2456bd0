create or replace function df.create_workflow(
    name text,
    steps jsonb[] default null,
    graph jsonb default null,
    schedule text default null,
    timezone text default null,
    start_date text default null,
    end_date text default null,
    data_intervals boolean default null,
    catchup boolean default null,
    max_active_runs integer default null,
    max_active_tasks integer default null,
    params jsonb default null,
    defaults jsonb default null,
    modules jsonb default null,
    on_failure text default null,
    on_success text default null,
    owner text default null,
    tags text[] default null,
    groups jsonb default null,
    doc text default null,
    namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default'),
    reason text default null
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_document jsonb;
begin
    if (steps is null) = (graph is null) then
        raise exception 'df.create_workflow: give either steps or graph' using errcode = 'PD400',
            hint = 'df.create_workflow(''name'', steps => array[df.step(''a'', ''select 1'')])';
    end if;
    v_document := coalesce(graph, '{}') || jsonb_strip_nulls(jsonb_build_object(
        'pgdurable_graph', coalesce((graph ->> 'pgdurable_graph')::integer, 1), 'name', name, 'schedule', schedule,
        'timezone', timezone, 'start_date', start_date, 'end_date', end_date, 'data_intervals', data_intervals,
        'catchup', catchup, 'max_active_runs', max_active_runs, 'max_active_tasks', max_active_tasks,
        'modules', modules, 'on_failure', case when on_failure is not null then df._run_of(on_failure) end,
        'on_success', case when on_success is not null then df._run_of(on_success) end, 'owner', owner,
        'tags', to_jsonb(tags), 'groups', groups, 'doc', doc));
    if params is not null then
        v_document := v_document || jsonb_build_object('params', params);
    end if;
    if defaults is not null then
        v_document := v_document || jsonb_build_object('defaults', defaults);
    end if;
    if steps is not null then
        v_document := v_document || jsonb_build_object('steps', to_jsonb(steps));
    end if;
    return df._ask('define', jsonb_build_object('document', v_document, 'namespace', namespace, 'reason', reason));
end
$$;
comment on function df.create_workflow(text, jsonb[], jsonb, text, text, text, text, boolean, boolean, integer, integer, jsonb, jsonb, jsonb, text, text, text, text[], jsonb, text, text, text) is
    'define a workflow, or its next version; twice the same changes nothing; with a schedule it starts paused';
