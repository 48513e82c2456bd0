-- _watch_client: have the server notice within half a second that the client is gone, so that no orphan works on.
--
-- PostgreSQL arms the check when a statement begins, so this holds from the session's second call on; the worker
-- sets it when it connects, and for psql's first call the call's own bound is what ends an orphan. Not every
-- platform has the check.
create or replace function df._watch_client() returns void
language plpgsql
as $$
begin
    perform pg_catalog.set_config('client_connection_check_interval', '500', false);
exception when invalid_parameter_value then
    null;
end
$$;
