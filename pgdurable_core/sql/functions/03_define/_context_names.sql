-- _context_names: what a step's text and binds may name besides their own binds.
create or replace function df._context_names() returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '{"ds": 1, "ds_nodash": 1, "ts": 1, "ts_nodash": 1, "ts_nodash_with_tz": 1, "logical_date": 1,
    "data_interval_start": 1, "data_interval_end": 1, "run_id": 1, "workflow": 1, "step": 1, "instance_id": 1,
    "try_number": 1, "map_index": 1, "idempotency_key": 1}'::jsonb $$;
