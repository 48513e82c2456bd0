-- _context_row: the context as columns, for bind expressions.
create or replace function df._context_row(p_context jsonb, p_params jsonb, p_item jsonb)
returns table (ds text, ds_nodash text, ts text, ts_nodash text, ts_nodash_with_tz text, logical_date timestamptz,
    data_interval_start timestamptz, data_interval_end timestamptz, run_id text, workflow text, step text, instance_id text,
    try_number integer, map_index integer, idempotency_key text, params jsonb, item jsonb)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
    select p_context ->> 'ds', p_context ->> 'ds_nodash', p_context ->> 'ts', p_context ->> 'ts_nodash', p_context ->> 'ts_nodash_with_tz',
        (p_context ->> 'logical_date')::timestamptz, (p_context ->> 'data_interval_start')::timestamptz,
        (p_context ->> 'data_interval_end')::timestamptz, p_context ->> 'run_id', p_context ->> 'workflow', p_context ->> 'step',
        p_context ->> 'instance_id', (p_context ->> 'try_number')::integer, (p_context ->> 'map_index')::integer,
        p_context ->> 'idempotency_key', p_params, p_item
$$;
