-- _purge_left: remove a transaction's share of the rows of an instance that is gone. Returns how many; null when there
-- is none.
--
-- Locks   its row in _purging (skip locked).
create or replace function df._purge_left() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    c_rows constant integer := 20000;
    v_instance text;
    v_count integer;
begin
    select x.instance_id into v_instance from df._purging x order by x.instance_id limit 1 for update skip locked;
    if not found then
        return null;
    end if;
    v_count := df._purge_rows(array[v_instance], c_rows);
    if v_count < c_rows then
        delete from df._purging x where x.instance_id = v_instance;
    end if;
    return v_count;
end
$$;
