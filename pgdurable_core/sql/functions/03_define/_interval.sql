-- _interval: a duration of the graph document. Raises PD400 with its place.
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
        raise exception '%: % is no duration', p_place, quote_literal(p_text)
            using errcode = 'PD400', hint = 'Write a number and a unit: 10 s, 5 min, 1.5 h, 2 days.';
    end;
    if v < interval '0' then
        raise exception '%: the duration % is negative', p_place, quote_literal(p_text) using errcode = 'PD400';
    end if;
    return v;
end
$$;
