-- _as_written: a step's statements as their author wrote them, with every reference where it stood.
create or replace function df._as_written(p_texts text[], p_parts jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(p_parts) is distinct from 'array' then array_to_string(p_texts, ';') else (
        select string_agg(t.text, ';' order by t.pos) from (
            select s.pos, (
                select string_agg(case
                    when jsonb_typeof(p.v) = 'string' then p.v #>> '{}'
                    when p.v ? 'raw' then '{' || (p.v ->> 'raw') || '}'
                    when p.v ? 'param' then concat('$params', '.' || (p.v ->> 'param'))
                    when p.v ? 'item' then concat('$item', '.' || (p.v ->> 'item'), case when p.v ? 'all' then '.*' end)
                    else concat('$', p.v ->> 'name', '.' || (p.v ->> 'col'), case when p.v ? 'all' then '.*' end, case when p.v ? 'opt' then '?' end)
                    end, '' order by p.pos)
                from jsonb_array_elements(s.v) with ordinality p(v, pos)) as text
            from jsonb_array_elements(p_parts) with ordinality s(v, pos)) t) end
$$;
