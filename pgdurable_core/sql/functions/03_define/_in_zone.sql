-- _in_zone: a date text of the document: with an offset or zone as it says, else in the workflow's zone.
create or replace function df._in_zone(p_text text, p_zone text, p_place text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
set timezone = 'UTC'
as $$
begin
    if p_text is null then
        return null;
    end if;
    if p_text ~ '[A-Za-z]{2,}|[+-]\d\d(:?\d\d)?$|Z$' and p_text !~ '^\d{4}-\d\d-\d\d$' then
        return p_text::timestamptz;
    end if;
    return p_text::timestamp at time zone p_zone;
exception when others then
    raise exception '%: % is no date: write 2026-01-01 00:00 Europe/Berlin, or an ISO date with an offset', p_place, quote_literal(p_text)
        using errcode = 'PD400';
end
$$;
