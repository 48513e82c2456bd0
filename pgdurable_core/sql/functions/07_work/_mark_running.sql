create or replace function df._mark_running(p_instance text, p_at timestamptz) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$ update df._instances i set state = 'running', started_at = p_at where i.instance_id = p_instance and i.state = 'pending' $$;
