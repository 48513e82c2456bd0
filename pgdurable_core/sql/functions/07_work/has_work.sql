create or replace function df.has_work(pos text default null) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pos text[] := string_to_array(coalesce(pos, (select p.seen from df._positions p where p.login = session_user)), '|');
    v_epoch bigint := (select e.epoch from df._engine e);
begin
    if v_pos[1] = v_epoch::text and v_pos[2] = extract(epoch from pg_postmaster_start_time())::text then
        return df._has_work(v_pos[3]::pg_snapshot);
    end if;
    return df._has_work('1:1:');
end
$$;
comment on function df.has_work(text) is 'whether df.work would find something; read-only';
