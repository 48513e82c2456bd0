-- _take_back: say whether a cancel waits behind this retry, and let it know what it did.
--
-- Locks   the command rows of those cancels; whoever holds one waits for nothing.
create or replace function df._take_back(p_instance text, p_retry bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update df._commands c set args = '{"takes_back": true}'
    where c.instance_id = p_instance and c.command_id > p_retry and c.kind = 'cancel';
    return found;
end
$$;
