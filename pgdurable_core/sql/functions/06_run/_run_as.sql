-- _run_as: run a claimed step as the role that calls, through its runner.
--
-- Takes the step's identity, never SQL text: whoever may call it can only run what is claimed for
-- that role. SECURITY INVOKER on purpose; the runner around it is the definer. What the step leaves
-- for the commit is forced here, inside: constraints made immediate, cursors closed; and before
-- PostgreSQL 18, where a deferred trigger can defer itself again and run as the worker, refused.
--
-- Raises  PD403 not this role's work; PD413 result too large; whatever the step raises.
create or replace function df._run_as(p_instance text, p_scope bigint, p_step integer, p_token bigint,
    out result json, out row_count bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    j record;
    v_context jsonb;
    v_text text;
    v_rows text[];
    v_size bigint := 0;
    r record;
    i integer;
    b jsonb;
    v_index integer;
    v_item jsonb;
    v_mode text;
begin
    select * into j from df._jobs x
    where x.instance_id = p_instance and x.scope_id = p_scope and x.step = p_step and x.token = p_token;
    if not found then
        raise exception 'step % of % is not claimed for %', p_step, p_instance, current_user using errcode = 'PD403';
    end if;
    if p_scope <> 0 then
        select x.map_index, x.item into v_index, v_item from df._map_items x where x.instance_id = p_instance and x.scope_id = p_scope;
    end if;
    if j.parts is not null then
        v_context := df._context(j.logical_date, j.data_interval_start, j.data_interval_end, j.run_id, j.workflow, j.key,
            p_instance, j.try_number, v_index, p_scope);
    end if;
    if j.settings ? 'more' then
        perform set_config(x.key, x.value, true) from jsonb_each_text(j.settings -> 'more') x where x.key <> 'statement_timeout';
    end if;
    perform set_config('TimeZone', j.settings ->> 'TimeZone', true), set_config('DateStyle', j.settings ->> 'DateStyle', true),
        set_config('IntervalStyle', j.settings ->> 'IntervalStyle', true), set_config('search_path', j.settings ->> 'search_path', true);
    if j.binds is not null then
        -- qualified: from here on the search path is the role's own
        for b in select x.e from pg_catalog.jsonb_array_elements(j.binds) x(e) loop
            execute pg_catalog.concat('select (', df._render(b operator(pg_catalog.->) 'parts', v_context, j.params, v_item, p_instance, j.plan_id),
                ')::pg_catalog.text from df._context_row($1, $2, $3)') into v_text using v_context, j.params, v_item;
            v_context := pg_catalog.jsonb_set(v_context, array[b operator(pg_catalog.->>) 'name'], coalesce(pg_catalog.to_jsonb(v_text), 'null'));
        end loop;
    end if;
    for i in 1..pg_catalog.cardinality(j.texts) loop
        if j.parts is null then
            v_text := j.texts[i];
        else
            v_text := df._render(j.parts operator(pg_catalog.->) (i operator(pg_catalog.-) 1), v_context, j.params, v_item, p_instance, j.plan_id);
        end if;
        result := null;
        row_count := null;
        v_rows := '{}';
        v_mode := pg_catalog.substr(j.modes, i, 1);
        if v_mode operator(pg_catalog.=) 'm' then
            -- whether it returns rows shows only when it is opened: 42P11 comes before anything ran
            begin
                for r in execute v_text loop
                    v_rows := v_rows operator(pg_catalog.||) pg_catalog.row_to_json(r)::pg_catalog.text;
                    exit when pg_catalog.cardinality(v_rows) operator(pg_catalog.>) j.max_result_rows;
                end loop;
            exception when invalid_cursor_definition then
                v_mode := 'e';
            end;
        elsif v_mode operator(pg_catalog.=) 'r' then
            for r in execute v_text loop
                v_rows := v_rows operator(pg_catalog.||) pg_catalog.row_to_json(r)::pg_catalog.text;
                v_size := v_size operator(pg_catalog.+) pg_catalog.octet_length(v_rows[pg_catalog.cardinality(v_rows)]);
                exit when pg_catalog.cardinality(v_rows) operator(pg_catalog.>) j.max_result_rows
                    or v_size operator(pg_catalog.>) j.max_result_bytes;
            end loop;
        end if;
        if v_mode operator(pg_catalog.=) 'e' then
            execute v_text;
            get diagnostics row_count = row_count;
        else
            row_count := pg_catalog.cardinality(v_rows);
            result := pg_catalog.concat('[', pg_catalog.array_to_string(v_rows, ','), ']')::pg_catalog.json;
            if row_count operator(pg_catalog.>) j.max_result_rows or pg_catalog.octet_length(result::pg_catalog.text) operator(pg_catalog.>) j.max_result_bytes then
                raise exception 'the result is larger than % rows or % bytes', j.max_result_rows, j.max_result_bytes
                    using errcode = 'PD413', hint = 'Write the rows to a table and return a count or a key.';
            end if;
        end if;
    end loop;
    set constraints all immediate;
    execute 'close all';
    if pg_catalog.current_setting('server_version_num')::pg_catalog.int4 operator(pg_catalog.<) 180000
        and pg_catalog.pg_current_xact_id_if_assigned() is not null
        and df._has_deferrable_triggers() then
        raise exception 'this database holds deferrable constraint triggers; before PostgreSQL 18 they could run as the worker'
            using errcode = 'PD403', hint = 'Make them not deferrable, or upgrade to PostgreSQL 18.';
    end if;
end
$$;
