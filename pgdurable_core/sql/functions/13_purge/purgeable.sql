create or replace function df.purgeable(older_than interval default null, workflow text default null, namespace text default null, keep_keys interval default null)
returns table (what text, in_namespace text, of_workflow text, count bigint, oldest timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select x.v ->> 0, x.v ->> 1, x.v ->> 2, (x.v ->> 3)::bigint, (x.v ->> 4)::timestamptz
    from jsonb_array_elements(df._ask('purgeable', jsonb_build_object('older_than', $1, 'workflow', $2, 'namespace', $3, 'keep_keys', $4))::jsonb) x(v)
$$;
comment on function df.purgeable(interval, text, text, interval) is 'what df.purge with the same arguments would remove; changes nothing';
