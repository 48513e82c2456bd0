create or replace function df.set_variable(name text, value text, namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default')) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select df._ask('variable', jsonb_build_object('name', name, 'value', value, 'namespace', namespace)) $$;
comment on function df.set_variable(text, text, text) is 'set a variable of the namespace; steps read it when they run';
