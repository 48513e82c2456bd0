-- _execute: run a claimed step inside one savepoint together with its checkpoint.
--
-- A failure undoes the step's effects and keeps the record. 57014 without a committed stop row is not
-- ours: undo, run again, charge nothing (five times at most). A deadlock inside the step repeats at
-- once, three times. An error in our own part of the savepoint is raised on and ends the call.
-- The one handler is `others or query_canceled or assert_failure`: `others` alone misses two.
create or replace function df._execute(w text[]) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instance constant text := w[15];
    v_scope constant bigint := w[16];
    v_step constant integer := w[17];
    v_token constant bigint := w[18];
    v_kind constant text := w[19];
    v_fast constant boolean := w[30] = 'fast';
    v_runner constant text := 'df_runners.run_' || w[20]::oid;
    v_started constant timestamptz := clock_timestamp();
    v_outcome record;
    v_forced integer[];
    v_next bigint[];
    v_void text;        -- an assignment spares the executor that PERFORM would start
    v_name text;
    v_finishing boolean;
    v_ok boolean := false;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
    v_context text;
    v_stop text;
    v_spurious integer;
    v_deadlocks integer;
begin
    if w[27] is distinct from '@functions@' then
        return df._hand_back();
    end if;
    -- the advert, as df._advert writes it: seen by the watchdog and by df.running without a commit
    -- shared and never waited for: anybody can take an advisory lock, and must not hold the engine with it
    v_void := pg_try_advisory_xact_lock_shared((57089::bigint << 48) | (v_token & 281474976710655));
    if w[26] is not null then
        -- tell the worker whose notices follow
        raise notice using errcode = 'PD000', message = concat_ws(':', v_instance, v_scope, v_step, v_token);
    end if;
    loop
        begin
            if v_kind = 'map' then
                if not v_fast and df._is_stopped(v_instance, v_token) then
                    raise exception 'stopped before it ran' using errcode = 'PD499';
                end if;
                perform df._open(v_instance, v_scope, v_step, v_token, w[29]::bigint, v_started);
            else
                if not coalesce(has_function_privilege(session_user, to_regproc(v_runner)::oid, 'execute'), false) then
                    raise exception 'login % does not work for the role of this step', session_user using errcode = 'PD403';
                end if;
                execute 'select ' || v_runner || '($1, $2, $3, $4) as o' into v_outcome using v_instance, v_scope, v_step, v_token;
                v_void := set_config('lock_timeout', '0', true);        -- a role's own, or the step's, is not for what follows
                if v_kind <> 'sql' then
                    v_forced := df._judge(v_kind, (v_outcome.o).result, w[29]::bigint, v_step);
                end if;
                if not v_fast then
                    -- inside the savepoint: a stop that arrives during the checkpoint undoes both
                    v_finishing := true;
                    v_next := df._checkpoint(v_instance, v_scope, v_step, v_token, v_kind, w[2]::bigint, v_fast,
                        w[13]::integer < 16 and date_part('epoch', clock_timestamp()) < w[14]::double precision + 0.1,
                        (v_outcome.o).result, (v_outcome.o).row_count, v_started, v_forced);
                elsif not df._is_open(v_instance) then
                    raise exception 'stopped while it ran' using errcode = 'PD499';
                end if;
            end if;
            v_ok := true;
        exception when others or query_canceled or assert_failure then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
                v_hint = pg_exception_hint, v_context = pg_exception_context;
            if v_finishing and v_state not in ('57014', 'PD499', 'PD409', '25006') then
                raise;
            end if;
        end;
        exit when v_ok;
        if v_state = '40P01' and coalesce(v_deadlocks, 0) < 3 then
            v_deadlocks := coalesce(v_deadlocks, 0) + 1;
            continue;
        end if;
        if v_state in ('57014', 'PD499') then
            v_stop := df._stop_reason(v_instance, v_token);
            if v_stop is null then
                v_spurious := coalesce(v_spurious, 0) + 1;
                if v_spurious < 5 then
                    v_finishing := null;
                    continue;
                end if;
            end if;
        end if;
        exit;
    end loop;

    w[21] := (w[21]::bigint + 1)::text;
    w[41] := 't';
    w[1] := 'done';
    if v_ok then
        if v_kind <> 'map' then
            if v_fast then
                -- outside the savepoint: its own transaction id would make a multixact with the claim's row lock, one per step
                v_next := df._checkpoint(v_instance, v_scope, v_step, v_token, v_kind, w[2]::bigint, v_fast,
                    w[13]::integer < 16 and date_part('epoch', clock_timestamp()) < w[14]::double precision + 0.1,
                    (v_outcome.o).result, (v_outcome.o).row_count, v_started, v_forced);
            end if;
            -- follow what became ready, but not for ever: at most sixteen steps or 100 ms, then the queue has its turn
            if v_next[2] is not null then
                w[42] := array['ahead', v_instance, w[16], v_next[1]::text, v_next[2]::text, w[20], w[2], w[26], (w[13]::integer + 1)::text, w[14], w[27]]::text;
            elsif v_next[1] is not null and w[13]::integer < 16 and date_part('epoch', clock_timestamp()) < w[14]::double precision + 0.1 then
                w[10] := v_instance;
                w[11] := case when v_scope <> 0 then df._scope_of(v_instance, v_scope, v_step, w[29]::bigint)::text else '0' end;
                w[12] := v_next[1]::text;
                w[13] := (w[13]::integer + 1)::text;
            end if;
        end if;
        if clock_timestamp() > v_started + interval '50 milliseconds' then
            perform df._count_speed(w[29]::bigint, v_step, false);
            w[39] := replace(w[39], ',' || w[29] || ':' || v_step || ',', ',');
        elsif not v_fast then
            v_name := w[29] || ':' || v_step || ',';
            if strpos(w[39], ',' || v_name) = 0 and df._count_speed(w[29]::bigint, v_step, true) then
                w[39] := right(w[39], 2000) || v_name;
            end if;
        end if;
    elsif v_state = 'PD409' and v_finishing then
        null;       -- the claim was lost; its effects are undone
    elsif v_stop = 'cancel' then
        perform df._cancel_step(v_instance, v_scope, v_step, v_token, v_started);
    else
        w[39] := replace(w[39], ',' || w[29] || ':' || v_step || ',', ',');
        if v_stop = 'timeout' then
            v_state := 'PD408';
            v_message := 'the attempt ran longer than its timeout';
            v_detail := null;
            v_hint := null;
            v_context := null;
        end if;
        perform df._failed(v_instance, v_scope, v_step, v_token, v_started, v_state, v_message, v_detail, v_hint, v_context);
    end if;
    if w[32] = 'true' then
        perform df._end_solo(v_token);
    end if;
    if not v_ok then
        perform df._end_stop(v_token);
    end if;
    return w;
end
$$;
