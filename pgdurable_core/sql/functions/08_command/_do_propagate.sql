create or replace function df._do_propagate(p_instance text, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (p_args ->> 'generation')::integer = (select i.generation from df._instances i where i.instance_id = p_instance) then
        perform df._advance(p_instance, (p_args ->> 'plan')::bigint, (p_args ->> 'scope')::bigint,
            array(select x::integer from jsonb_array_elements_text(p_args -> 'steps') with ordinality e(x, pos) order by pos),
            array(select x::integer from jsonb_array_elements_text(p_args -> 'vectors') with ordinality e(x, pos) order by pos));
    end if;
    return 'done';
end
$$;
