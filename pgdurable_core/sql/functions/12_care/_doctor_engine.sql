-- _doctor_engine: what df._engine says about itself: its limits, its clock, its upgrade, and which database it is.
create or replace function df._doctor_engine() returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    e record;
    v_identifier text;
    v_large bigint;
    v_why text;
begin
    select g.* into e from df._engine g;
    return query select 'upgrade', case when e.draining then 'bad' else 'ok' end,
        case when e.draining then 'an upgrade was announced and did not end: nothing is claimed' else format('version %s, schema %s', e.version, e.schema_version) end,
        case when e.draining then 'pgdurable init' end;

    -- the newest only: a look at every instance would not be bounded
    select count(*) into v_large from (select i.error from df._instances i order by i.created_at desc limit 1000) i where i.error ->> 'sqlstate' = 'PD413';
    return query select 'limits', case when e.max_result_bytes > 268435456 or v_large > 0 then 'warn' else 'ok' end,
        format('a result has at most %s rows and %s, a step %s log lines, a map %s items', e.max_result_rows, pg_size_pretty(e.max_result_bytes), e.max_log_lines, e.max_map_length)
            || case when v_large > 0 then format('; failed with PD413: %s of the newest 1000 instances', v_large)
                when e.max_result_bytes > 268435456 then '; a result is held in memory, and none can be larger than 1 GB' else '' end,
        case when v_large > 0 then 'let the step write a table and return a count, or update df._engine set max_result_rows = ...'
            when e.max_result_bytes > 268435456 then 'update df._engine set max_result_bytes = 16777216' end;

    return query select 'test clock', case when e.clock_offset = '0' then 'ok' when e.is_test then 'warn' else 'bad' end,
        case when e.clock_offset = '0' then 'the engine has the server''s clock' else format('the engine''s clock is moved by %s', e.clock_offset) end,
        case when e.clock_offset <> '0' then 'update df._engine set clock_offset = ''0''' end;

    if e.system_identifier is not null and has_function_privilege('pg_control_system()', 'execute') then
        select c.system_identifier::text into v_identifier from pg_control_system() c;
    end if;
    v_why := case
        when v_identifier <> e.system_identifier then format('the engine was put into server %s, this is server %s', e.system_identifier, v_identifier)
        when (select d.oid from pg_database d where d.datname = current_database()) <> e.database_oid then
            format('the engine was put into database number %s, this is number %s', e.database_oid, (select d.oid from pg_database d where d.datname = current_database())) end;
    return query select 'copy', case when v_why is null then 'ok' else 'bad' end,
        coalesce('a copy of ' || coalesce(e.environment, 'another database') || ': ' || v_why, 'this is the database that the engine was put into'),
        case when v_why is not null then 'say what it is: select df.adopt(''name'', what => ''copy'' or ''move'')' end;
end
$$;
