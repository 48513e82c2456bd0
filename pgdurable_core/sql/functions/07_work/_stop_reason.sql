-- _stop_reason: why a claim was stopped: cancel, timeout, or null when nobody asked for it.
create or replace function df._stop_reason(p_instance text, p_token bigint) returns text
language sql
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((select t.reason from df._stops t where t.token = p_token),
        case when not exists (select from df._instances i where i.instance_id = p_instance and i.state in ('pending', 'running')) then 'cancel' end)
$$;
