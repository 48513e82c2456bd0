-- _rows_of: the rows of a step's result, for the role that runs now; of a mapped step, of all its items in order.
create or replace function df._rows_of(p_instance text, p_plan bigint, p_step integer) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v json;
begin
    select i.result into v from df._inputs i where i.instance_id = p_instance and i.scope_id = 0 and i.step = p_step;
    if v is null then
        select df._gathered(p_instance, p_step) into v;
    end if;
    return v;
end
$$;
