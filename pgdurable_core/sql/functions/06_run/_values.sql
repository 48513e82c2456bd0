-- _values: a result as a row source, (VALUES …) AS "name"("column", …), as pg_durable writes $name.*.
create or replace function df._values(p_rows json, p_name text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_columns text[];
    v_count integer := case when json_typeof(p_rows) = 'array' then json_array_length(p_rows) else 0 end;
begin
    if v_count = 0 then
        return format('(SELECT NULL WHERE false) AS %I', p_name);
    end if;
    if v_count > 10000 then
        raise exception '$%.* has % rows; 10000 is the most that is put into SQL text', p_name, v_count
            using errcode = 'PD413', hint = 'Write the rows to a table and read that.';
    end if;
    select array_agg(k order by pos) into v_columns from json_object_keys(p_rows -> 0) with ordinality x(k, pos);
    return '(VALUES ' || (select string_agg('(' || (select string_agg(case when json_typeof(r.v -> c) = 'string'
                then quote_literal(r.v ->> c) || '::text' else df._quote((r.v -> c)::jsonb) end, ', ' order by x.pos)
            from unnest(v_columns) with ordinality x(c, pos)) || ')', ', ' order by r.pos)
        from json_array_elements(p_rows) with ordinality r(v, pos))
        || format(') AS %I(%s)', p_name, (select string_agg(quote_ident(c), ', ' order by pos) from unnest(v_columns) with ordinality x(c, pos)));
end
$$;
