-- _known_parts: a statement's parts with every name that only a run knows turned back into the text that named it.
create or replace function df._known_parts(p_parts jsonb, p_context jsonb, p_is_mapped boolean, out parts jsonb, out open_names text[])
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    p jsonb;
    v_written text;
begin
    parts := '[]';
    open_names := '{}';
    for p in select jsonb_array_elements(p_parts) loop
        v_written := null;
        if jsonb_typeof(p) = 'string' or p ? 'param' then
            null;
        elsif p ? 'raw' then
            v_written := case when not p_context ? (p ->> 'raw') then '{' || (p ->> 'raw') || '}' end;
        elsif p ? 'item' then
            v_written := case when p_is_mapped then concat('$item', '.' || (p ->> 'item'), case when p ? 'all' then '.*' end) end;
        else
            v_written := concat('$', p ->> 'name', '.' || (p ->> 'col'), case when p ? 'all' then '.*' end, case when p ? 'opt' then '?' end);
        end if;
        parts := parts || jsonb_build_array(coalesce(to_jsonb(v_written), p));
        if v_written is not null and not v_written = any(open_names) then
            open_names := open_names || v_written;
        end if;
    end loop;
end
$$;
