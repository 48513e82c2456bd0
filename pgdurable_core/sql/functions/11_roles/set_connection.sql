create or replace function df.set_connection(name text, kind text default 'here', role text default null, login text default null, namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default')) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select df._ask('connection', jsonb_strip_nulls(jsonb_build_object('name', name, 'kind', kind, 'role', role, 'login', login, 'namespace', namespace))) $$;
comment on function df.set_connection(text, text, text, text, text) is 'say where a connection name points: this database, optionally as a role; login is a reference (env:, file:, cmd:) for steps that need a session of their own';
