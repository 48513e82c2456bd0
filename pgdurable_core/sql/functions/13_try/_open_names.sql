-- _open_names: what of a worker's arguments or command only a run knows, as it is written, in order of the alphabet.
create or replace function df._open_names(p_value jsonb, p_context jsonb, p_is_mapped boolean) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
    select array(
        select v::text from jsonb_path_query(p_value, 'strict $.**') v
        where jsonb_typeof(v) = 'object' and (select count(*) from jsonb_object_keys(case when jsonb_typeof(v) = 'object' then v else '{}' end)) = 1
          and (jsonb_typeof(v -> 'xcom') = 'string' or p_is_mapped and v ->> 'item' is not null)
        union
        select '{' || m[1] || '}'
        from jsonb_path_query(p_value, 'strict $.**') v
        cross join lateral regexp_matches(v #>> '{}', '\{([A-Za-z_][A-Za-z0-9_]*)\}', 'g') m
        where jsonb_typeof(v) = 'string' and df._context_names() ? m[1] and not p_context ? m[1]
        order by 1)
$$;
