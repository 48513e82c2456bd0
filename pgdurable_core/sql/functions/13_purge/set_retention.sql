create or replace function df.set_retention(keep interval default null, workflow text default null, namespace text default null, keep_keys interval default null) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select df._ask('retention', jsonb_build_object('keep', keep, 'workflow', workflow, 'namespace', namespace, 'keep_keys', keep_keys)) $$;
comment on function df.set_retention(interval, text, text, interval) is
    'have df.tick purge what ended longer ago: of a workflow, else of a namespace, else of everything; without intervals the rule is removed';
