-- _as_rows: row objects of a SQL step as arrays in column order; other results as they are.
create or replace function df._as_rows(p_result json, p_kind text) returns json
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when p_kind = 'sql' and json_typeof(p_result) = 'array' then json_build_object('__rows__', coalesce(
            (select json_agg((select json_agg(c.value) from json_each(r.v) c) order by r.pos) from json_array_elements(p_result) with ordinality r(v, pos)), '[]'))
        when p_kind = 'branch' and json_typeof(p_result) = 'array' then (select c.value from json_each(p_result -> 0) c limit 1)
        else p_result end
$$;
