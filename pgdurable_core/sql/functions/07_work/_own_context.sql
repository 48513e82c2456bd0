-- _own_context: an error's context without the engine's own frames.
create or replace function df._own_context(p_context text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
    select string_agg(l, E'\n' order by pos) from string_to_table(p_context, E'\n') with ordinality x(l, pos)
    where l !~ '(function|procedure) df(_runners)?\.|^SQL statement "select (\* from )?df(_runners)?\.|^SQL function "run_'
$$;
