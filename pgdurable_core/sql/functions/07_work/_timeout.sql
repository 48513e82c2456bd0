-- _timeout: a role's statement_timeout setting as an interval; null when it is off. A bare number is milliseconds.
create or replace function df._timeout(p_setting text) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
    select case when p_setting is null or p_setting ~ '^0\D*$' then null
        when p_setting ~ '^\d+$' then (p_setting || ' milliseconds')::interval
        else replace(replace(p_setting, 'min', ' min'), 'ms', ' ms')::interval end
$$;
