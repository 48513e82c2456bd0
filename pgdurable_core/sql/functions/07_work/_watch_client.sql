-- _watch_client: have the server notice within half a second that the client is gone, so that no orphan works on.
-- Not every platform can; there the bounded call is what ends it.
create or replace function df._watch_client() returns void
language plpgsql
as $$
begin
    perform pg_catalog.set_config('client_connection_check_interval', '500', false);
exception when invalid_parameter_value then
    null;
end
$$;
