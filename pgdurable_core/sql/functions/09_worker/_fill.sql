-- _fill: a JSON value with every name in it replaced: {"xcom"}, {"param"}, {"item"}, and {name} in text.
create or replace function df._fill(p_value json, p_context jsonb, p_params jsonb, p_item jsonb, p_instance text, p_plan bigint, p_steps jsonb) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v text;
    m text[];
begin
    case json_typeof(p_value)
        when 'object' then
            if (select count(*) from json_object_keys(p_value)) = 1 then
                if p_value ->> 'xcom' is not null and p_steps ? (p_value ->> 'xcom') then
                    return coalesce(df._xcom(p_instance, p_plan, (p_steps ->> (p_value ->> 'xcom'))::integer), 'null');
                elsif p_value ->> 'param' is not null then
                    return coalesce(p_params -> (p_value ->> 'param'), 'null')::json;
                elsif p_value ->> 'item' is not null then
                    return coalesce(case when json_typeof(p_value -> 'item') = 'boolean' then p_item else p_item -> (p_value ->> 'item') end, 'null')::json;
                end if;
            end if;
            return (select coalesce(json_object_agg(e.key, df._fill(e.value, p_context, p_params, p_item, p_instance, p_plan, p_steps)), '{}') from json_each(p_value) e);
        when 'array' then
            return (select coalesce(json_agg(df._fill(e.value, p_context, p_params, p_item, p_instance, p_plan, p_steps) order by e.pos), '[]')
                from json_array_elements(p_value) with ordinality e(value, pos));
        when 'string' then
            return to_json(df._fill_text(p_value #>> '{}', p_context));
        else
            return p_value;
    end case;
end
$$;
