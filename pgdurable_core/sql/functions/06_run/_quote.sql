-- _quote: a JSON value as a SQL literal of its type.
create or replace function df._quote(p_value jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case coalesce(jsonb_typeof(p_value), 'null')
        when 'null' then 'NULL'
        -- in parentheses: after a minus sign a bare one would begin a comment
        when 'number' then case when left(p_value #>> '{}', 1) = '-' then '(' || (p_value #>> '{}') || ')' else p_value #>> '{}' end
        when 'boolean' then p_value #>> '{}'
        else quote_literal(p_value #>> '{}') end
$$;
