create or replace function df.beat(worker_id bigint) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_until timestamptz;
begin
    update df._workers w set last_beat_at = clock_timestamp(), lease_until = clock_timestamp() + w.lease
    where w.worker_id = $1 and w.login = session_user and w.lease_until > clock_timestamp()
    returning w.lease_until into v_until;
    if v_until is null then
        raise exception 'the lease of worker % has run out', $1 using errcode = 'PD409', hint = 'Drop what it holds and register again.';
    end if;
    return v_until;
end
$$;
comment on function df.beat(bigint) is 'renew a worker''s lease; PD409 when it has run out';
