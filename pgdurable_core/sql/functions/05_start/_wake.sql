-- _wake: NOTIFY, but only when somebody sleeps: a notification takes a lock over the whole database at commit.
--
-- A single plain step is followed by the session that made it ready; p_many says there is work to share.
create or replace function df._wake(p_lanes smallint[], p_many boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_lanes = '{1}' and not p_many then
        return;
    end if;
    perform pg_notify('df', l.name) from df._lanes l
    where l.lane = any(p_lanes) and exists (select from df._sleepers z where l.name = any(z.lanes));
end
$$;
