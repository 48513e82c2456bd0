create or replace function df.resume_workflow(name text, namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default'), reason text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return df._ask('pause', jsonb_build_object('name', name, 'namespace', namespace, 'reason', reason, 'paused', false));
end
$$;
comment on function df.resume_workflow(text, text, text) is 'resume a workflow''s schedule; instances that run are not touched';
