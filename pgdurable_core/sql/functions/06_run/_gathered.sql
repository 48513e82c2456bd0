-- _gathered: the results of a mapped step's items, in order of map index, as one array of row objects; null when it is none.
create or replace function df._gathered(p_instance text, p_gather integer) returns json
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select json_agg(e.value order by m.map_index, e.ordinality)
    from df._map_items m
    join df._inputs i on i.instance_id = m.instance_id and i.scope_id = m.scope_id and i.step = p_gather - 1,
        json_array_elements(i.result) with ordinality e
    where m.instance_id = p_instance and m.step = p_gather - 2 and json_typeof(i.result) = 'array'
$$;
