create or replace function df.start_workflow(
    name text,
    params jsonb default '{}',
    logical_date timestamptz default null,
    run_key text default null,
    label text default null,
    reason text default null,
    traceparent text default null,
    namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default')
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return df._ask('start', jsonb_strip_nulls(jsonb_build_object('name', name, 'logical_date', logical_date, 'run_key', run_key,
        'label', label, 'reason', reason, 'traceparent', traceparent, 'namespace', namespace)) || jsonb_build_object('params', coalesce(params, '{}')));
end
$$;
comment on function df.start_workflow(text, jsonb, timestamptz, text, text, text, text, text) is
    'start an instance in this transaction and return its id; the same run_key returns the same instance (40001 possible above read committed)';
