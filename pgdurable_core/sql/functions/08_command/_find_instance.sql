-- _find_instance: an instance by id or unambiguous prefix of four digits or more. Raises PD404, PD400.
create or replace function df._find_instance(p_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v text[];
begin
    if coalesce(p_id, '') !~ '^[0-9a-f]{4,12}$' then
        raise exception '% is no instance id', coalesce(quote_literal(p_id), 'null') using errcode = 'PD400', hint = 'Twelve hex digits, or the first four or more.';
    end if;
    select array_agg(i.instance_id) into v from (select x.instance_id from df._instances x
        where x.instance_id >= p_id and x.instance_id < p_id || 'g' limit 2) i;
    if v is null then
        raise exception 'there is no instance %', p_id using errcode = 'PD404';
    elsif cardinality(v) > 1 then
        raise exception 'more than one instance begins with %', p_id using errcode = 'PD400', hint = 'Give more digits.';
    end if;
    return v[1];
end
$$;
