-- _fill_text: {name} replaced in one pass; unknown names stay as they are.
create or replace function df._fill_text(p_text text, p_context jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
    select coalesce(string_agg(case when m.t[1] ~ '^\{[A-Za-z_][A-Za-z0-9_]*\}$' and p_context ? substr(m.t[1], 2, length(m.t[1]) - 2)
        then coalesce(p_context ->> substr(m.t[1], 2, length(m.t[1]) - 2), '') else m.t[1] end, '' order by m.pos), left(p_text, 0))
    from regexp_matches(p_text, '(\{[A-Za-z_][A-Za-z0-9_]*\}|[^{]+|\{)', 'g') with ordinality m(t, pos)
$$;
