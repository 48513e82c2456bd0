-- _context: what a step may name, as text in Airflow's formats. Dates vanish where there is no logical date.
create or replace function df._context(p_logical timestamptz, p_start timestamptz, p_end timestamptz, p_run_id text, p_workflow text,
    p_key text, p_instance text, p_try integer, p_map_index integer, p_scope bigint) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'ds', to_char(p_logical, 'YYYY-MM-DD'), 'ds_nodash', to_char(p_logical, 'YYYYMMDD'), 'ts', df._iso(p_logical),
        'ts_nodash', to_char(p_logical, 'YYYYMMDD"T"HH24MISS'), 'ts_nodash_with_tz', replace(replace(df._iso(p_logical), '-', ''), ':', ''),
        'logical_date', replace(df._iso(p_logical), 'T', ' '), 'data_interval_start', replace(df._iso(p_start), 'T', ' '),
        'data_interval_end', replace(df._iso(p_end), 'T', ' '), 'run_id', p_run_id, 'workflow', p_workflow, 'step', p_key,
        'instance_id', p_instance, 'try_number', p_try::text, 'map_index', coalesce(p_map_index, -1)::text,
        'idempotency_key', p_instance || ':' || p_key || coalesce('[' || p_map_index || ']', '')))
$$;
