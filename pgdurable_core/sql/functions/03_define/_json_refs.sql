-- _json_refs: the step keys a JSON value names as {"xcom": "key"}, an object of that one member.
create or replace function df._json_refs(p_value jsonb) returns setof text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select v ->> 'xcom' from jsonb_path_query(p_value, 'strict $.**') v
    where jsonb_typeof(v) = 'object' and jsonb_typeof(v -> 'xcom') = 'string' and v - 'xcom' = '{}'
$$;
