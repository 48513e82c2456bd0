-- _run_as: run a claimed step as the role that calls, through its runner.
--
-- Takes the step's identity, never SQL text: whoever may call it can only run what is claimed for
-- that role. SECURITY INVOKER on purpose; the runner around it is the definer. What the step leaves
-- for the commit is forced here, inside: constraints made immediate, cursors closed; and before
-- PostgreSQL 18, where a deferred trigger can defer itself again and run as the worker, refused.
-- Once the role's settings are in force the search path is the role's own, so every name and
-- operator below that line is qualified.
--
-- Raises  PD403 not this role's work; PD499 the instance is over; PD413 result too large; whatever the step raises.
create or replace function df._run_as(p_instance text, p_scope bigint, p_step integer, p_token bigint) returns df._outcome
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    j record;
    v_texts text[];
    v_text text;
    v_mode text;
    v_rows text[];
    v_size bigint;
    v_count bigint;
    v_result json;
    r record;
    i integer;
begin
    j := df._job(p_instance, p_scope, p_step, p_token);
    if j.is_open is null then
        raise exception 'step % of % is not claimed for %', p_step, p_instance, current_user using errcode = 'PD403';
    end if;
    if not j.is_open then
        raise exception 'stopped before it ran' using errcode = 'PD499';
    end if;
    if j.has_more then
        perform set_config(x.key, x.value, true) from jsonb_each_text(j.settings -> 'more') x where x.key <> 'statement_timeout';
    end if;
    -- one assignment: PERFORM would start the executor
    v_text := concat(set_config('TimeZone', j.settings ->> 'TimeZone', true), set_config('DateStyle', j.settings ->> 'DateStyle', true),
        set_config('IntervalStyle', j.settings ->> 'IntervalStyle', true), set_config('search_path', j.settings ->> 'search_path', true));
    -- qualified from here on
    if j.has_names then
        v_texts := df._texts(p_instance, p_scope, p_step, p_token);
    else
        v_texts := j.texts;
    end if;
    for i in 1..pg_catalog.cardinality(v_texts) loop
        v_text := v_texts[i];
        v_rows := null;
        v_size := 0;
        v_mode := pg_catalog.substr(j.modes, i, 1);
        if v_mode operator(pg_catalog.=) 'r' then
            for r in execute v_text loop
                v_text := pg_catalog.row_to_json(r);
                v_rows := pg_catalog.array_append(v_rows, v_text);
                v_size := v_size operator(pg_catalog.+) pg_catalog.octet_length(v_text);
                exit when v_size operator(pg_catalog.>) j.max_result_bytes or pg_catalog.cardinality(v_rows) operator(pg_catalog.>) j.max_result_rows;
            end loop;
        elsif v_mode operator(pg_catalog.=) 'm' then
            -- whether it returns rows shows only when it is opened: 42P11 comes before anything ran
            begin
                for r in execute v_text loop
                    v_rows := pg_catalog.array_append(v_rows, pg_catalog.row_to_json(r)::pg_catalog.text);
                    v_size := v_size operator(pg_catalog.+) pg_catalog.octet_length(v_rows[pg_catalog.cardinality(v_rows)]);
                    exit when v_size operator(pg_catalog.>) j.max_result_bytes or pg_catalog.cardinality(v_rows) operator(pg_catalog.>) j.max_result_rows;
                end loop;
            exception when invalid_cursor_definition then
                v_mode := 'e';
            end;
        end if;
        if v_mode operator(pg_catalog.=) 'e' then
            execute v_text;
            get diagnostics v_count = row_count;
            v_result := null;
        else
            v_count := coalesce(pg_catalog.cardinality(v_rows), 0);
            v_result := pg_catalog.concat('[', pg_catalog.array_to_string(v_rows, ','), ']');
            if v_size operator(pg_catalog.>) j.max_result_bytes or v_count operator(pg_catalog.>) j.max_result_rows then
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
    return row(v_result, v_count)::df._outcome;
end
$$;
