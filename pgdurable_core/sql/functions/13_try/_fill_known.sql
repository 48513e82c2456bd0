-- _fill_known: df._fill without a run: what only a run knows, {"xcom"} and a map's {"item"}, stays as it is written.
create or replace function df._fill_known(p_value json, p_context jsonb, p_params jsonb, p_is_mapped boolean) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    case json_typeof(p_value)
        when 'object' then
            if (select count(*) from json_object_keys(p_value)) = 1 then
                if json_typeof(p_value -> 'xcom') = 'string' or (p_value ->> 'item' is not null and p_is_mapped) then
                    return p_value;
                elsif p_value ->> 'param' is not null then
                    return coalesce(p_params -> (p_value ->> 'param'), 'null')::json;
                elsif p_value ->> 'item' is not null then
                    return 'null'::json;
                end if;
            end if;
            return (select coalesce(json_object_agg(e.key, df._fill_known(e.value, p_context, p_params, p_is_mapped)), '{}') from json_each(p_value) e);
        when 'array' then
            return (select coalesce(json_agg(df._fill_known(e.value, p_context, p_params, p_is_mapped) order by e.pos), '[]')
                from json_array_elements(p_value) with ordinality e(value, pos));
        when 'string' then
            return to_json(df._fill_text(p_value #>> '{}', p_context));
        else
            return p_value;
    end case;
end
$$;
