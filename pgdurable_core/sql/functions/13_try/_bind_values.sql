-- _bind_values: a context with the values of a step's binds added; what cannot be known leaves its name out of it.
--
-- Binds are the author's SQL. This function is SECURITY INVOKER, and whoever calls it has made sure that the step's
-- role is logged in and calls: in the author's text SET ROLE leads wherever the login may go. They see what
-- df._texts would show them, less what only a run knows: a bind that names that fails as undefined and stays open.
-- Everything happens in a savepoint that is always undone, settings and writes included; between there and the
-- handler the search path is the role's own, so every name is qualified.
create or replace function df._bind_values(p_binds jsonb, p_context jsonb, p_params jsonb, p_is_mapped boolean, p_settings jsonb,
    p_closed text, out context jsonb, out problems text[])
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    b jsonb;
    k record;
    v_name text;
    v_text text;
    v_columns text;
    v_value text;
    v_done boolean;
    v_state text;
    v_message text;
begin
    context := p_context;
    problems := '{}';
    for b in select jsonb_array_elements(p_binds) loop
        v_name := b ->> 'name';
        v_done := false;
        k := df._known_parts(b -> 'parts', context, p_is_mapped);
        if k.open_names = '{}' and p_closed is not null then
            problems := problems || format('bind %s: %s', v_name, p_closed);
        elsif k.open_names = '{}' then
            v_text := df._render(k.parts, context, p_params, null, null, null);
            v_columns := (select string_agg(format('($1 operator(pg_catalog.->>) %L)::pg_catalog.%s as %s', c.name, c.type, c.name), ', ')
                from (values ('ds', 'text'), ('ds_nodash', 'text'), ('ts', 'text'), ('ts_nodash', 'text'), ('ts_nodash_with_tz', 'text'),
                    ('logical_date', 'timestamptz'), ('data_interval_start', 'timestamptz'), ('data_interval_end', 'timestamptz'),
                    ('run_id', 'text'), ('workflow', 'text'), ('step', 'text'), ('instance_id', 'text'), ('try_number', 'int4'),
                    ('map_index', 'int4'), ('idempotency_key', 'text')) c(name, type)
                where context ? c.name)
                || ', $2 as params' || case when p_is_mapped then '' else ', null::pg_catalog.jsonb as item' end;
            begin
                perform set_config(x.key, x.value, true) from jsonb_each_text(p_settings -> 'more') x where x.key <> 'statement_timeout';
                v_value := concat(set_config('TimeZone', p_settings ->> 'TimeZone', true), set_config('DateStyle', p_settings ->> 'DateStyle', true),
                    set_config('IntervalStyle', p_settings ->> 'IntervalStyle', true), set_config('search_path', p_settings ->> 'search_path', true));
                execute pg_catalog.concat('select (', v_text, ')::pg_catalog.text from (select ', v_columns, ') as _context_row')
                    into v_value using context, p_params;
                v_done := true;
                raise exception using errcode = 'transaction_rollback', message = 'undo it';
            exception when others or assert_failure then
                get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
            end;
            if v_done then
                context := jsonb_set(context, array[v_name], coalesce(to_jsonb(v_value), 'null'));
            elsif v_state <> '42703' or not exists (
                select from jsonb_object_keys(df._context_names() || '{"item": 1}') n(name)
                where not context ? n.name and v_text ~ ('\m' || n.name || '\M')) then
                problems := problems || format('bind %s: %s (%s)', v_name, v_message, v_state);
            end if;
        end if;
        if not v_done then
            context := context - v_name;
        end if;
    end loop;
end
$$;
