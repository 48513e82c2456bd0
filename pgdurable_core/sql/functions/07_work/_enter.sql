-- _enter: whether this session may work, and where it stands. Called outside any transaction but its own.
--
-- Raises  PD500 where df.work cannot do its work, with the command that helps; PD403 for a worker of another login.
create or replace function df._enter(p_max_seconds numeric, p_idle_seconds numeric, p_worker bigint, p_pos text, p_backend_start timestamptz) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY'
set timezone = 'UTC'
as $$
declare
    w text[] := array_fill(null::text, array[42]);
    e record;
    v_pos text[];
    v_name text;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a standby; df.work needs the primary' using errcode = 'PD500', hint = 'Connect with target_session_attrs=read-write.';
    end if;
    if current_setting('transaction_read_only')::boolean then
        raise exception 'transactions are read-only here' using errcode = 'PD500', hint = 'set default_transaction_read_only = off';
    end if;
    if current_setting('statement_timeout') <> '0' then
        raise exception 'statement_timeout is %, and would end this call or hit the wrong step', current_setting('statement_timeout')
            using errcode = 'PD500', hint = 'set statement_timeout = 0; call df.work();';
    end if;
    if p_worker is not null and not exists (select from df._workers x where x.worker_id = p_worker and x.login = session_user) then
        raise exception 'worker % is not registered by this login', p_worker using errcode = 'PD403',
            hint = 'Leave the argument out, or call df.register_worker(...) first.';
    end if;
    perform df._refuse_copy();
    select g.epoch, g.draining into e from df._engine g;
    if e.draining then
        raise exception 'the engine is draining for an upgrade' using errcode = 'PD503', hint = 'Try again in a moment.';
    end if;
    if exists (select from df._sessions s where s.pid = pg_backend_pid() and s.login = session_user and s.backend_start = p_backend_start) then
        -- a call of this very session died: what its step prepared is nobody's
        for v_name in select p.name from pg_prepared_statements p where p.from_sql loop
            execute format('deallocate %I', v_name);
        end loop;
    end if;
    w[1] := 'probe';
    v_pos := string_to_array(coalesce(p_pos, (select p.seen from df._positions p where p.login = session_user)), '|');
    if v_pos[1] = e.epoch::text and v_pos[2] = extract(epoch from pg_postmaster_start_time())::text
        and pg_snapshot_xmax(v_pos[3]::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) then
        w[4] := v_pos[3];
    else
        w[4] := '1:1:';
    end if;
    w[3] := e.epoch::text;
    w[36] := df._served();
    w[37] := '18446744073709551615';
    w[39] := ',';
    w[40] := p_backend_start::text;
    w[9] := 'f';
    w[13] := '0';
    w[14] := extract(epoch from clock_timestamp())::text;
    w[21] := '0';
    w[22] := (extract(epoch from clock_timestamp()) + least(p_max_seconds, 300))::text;
    w[23] := p_idle_seconds::text;
    w[24] := w[14];
    w[25] := '0';
    w[26] := p_worker::text;
    w[27] := '@functions@';
    return w;
end
$$;
