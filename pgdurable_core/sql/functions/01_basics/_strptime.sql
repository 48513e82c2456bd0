-- _strptime_pattern: a Python strptime/strftime format as PostgreSQL's to_date/to_char writes it.
--
-- Raises  PD501 for a directive that has no equal here.
create or replace function df._strptime_pattern(p_format text) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    v_out text := '';
    v_char text;
    i integer := 1;
    v_map constant jsonb := '{"Y": "YYYY", "m": "MM", "d": "DD", "H": "HH24", "M": "MI", "S": "SS", "y": "YY",
        "j": "DDD", "b": "Mon", "B": "FMMonth", "a": "Dy", "A": "FMDay", "p": "AM", "I": "HH12", "f": "US"}';
begin
    while i <= length(p_format) loop
        v_char := substr(p_format, i, 1);
        if v_char = '%' then
            i := i + 1;
            v_char := substr(p_format, i, 1);
            if v_char = '%' then
                v_out := v_out || '"%"';
            elsif v_map ? v_char then
                v_out := v_out || (v_map ->> v_char);
            else
                raise exception 'format directive % has no equal in PostgreSQL', '%' || v_char using errcode = 'PD501';
            end if;
        else
            v_out := v_out || case when v_char = '"' then '\"' else '"' || v_char || '"' end;
        end if;
        i := i + 1;
    end loop;
    return v_out;
end
$$;
