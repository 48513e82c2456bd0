-- _without_nulls: an object without its own null members; nulls deeper down mean something.
create or replace function df._without_nulls(p_value jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(p_value) = 'object'
        then (select coalesce(jsonb_object_agg(m.key, m.value), '{}') from jsonb_each(p_value) m where m.value <> 'null')
        else p_value end
$$;
