-- _interval: a duration of the graph document. Raises PD400 with its place.
--
-- Months and years are refused: they have no length of their own.
create or replace function df._interval(p_text text, p_place text) returns interval
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v interval;
begin
    if p_text is null then
        return null;
    end if;
    begin
        v := p_text::interval;
    exception when others then
        v := null;
    end;
    if v is null or v < interval '0' or extract(year from v) <> 0 or extract(month from v) <> 0 then
        raise exception '%: % is no duration', p_place, quote_literal(p_text)
            using errcode = 'PD400', hint = 'Write a number and a unit: 10 s, 5 min, 1.5 h, 2 days.';
    end if;
    return v;
end
$$;
