-- _trim_newlines: drop exactly one newline after the opening quote and one before the closing one.
create or replace function df._trim_newlines(p_text text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
    select case when right(t, 1) = E'\n' then left(t, -1) else t end
    from (select case when left(p_text, 1) = E'\n' then substr(p_text, 2) else p_text end as t) x
$$;
