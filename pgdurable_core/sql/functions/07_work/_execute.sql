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
    v_started constant timestamptz := clock_timestamp();
    v_result json;
    v_rows bigint;
    v_outcome record;
    v_void text;        -- an assignment spares the executor that PERFORM would start
    v_forced integer[];
    v_follow integer;
    v_phase text := 'step';
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
    v_context text;
    v_stop text;
    v_spurious integer := 0;
    v_deadlocks integer := 0;
    v_ok boolean := false;
    v_took interval;
begin
    -- the advert, as df._advert writes it: seen by the watchdog and by df.running without a commit
    -- shared and never waited for: anybody can take an advisory lock, and must not hold the engine with it
    v_void := pg_try_advisory_xact_lock_shared((57089::bigint << 48) | (v_token & 281474976710655));
    -- tell the worker whose notices follow: nobody's on the fast lane
    if w[26] is not null and (w[30] = 'committed' or w[35] = 'true') then
        w[35] := (w[30] = 'committed')::text;
        raise notice using errcode = 'PD000', message = case when w[30] = 'committed' then concat_ws(':', v_instance, v_scope, v_step, v_token) else '' end;
    end if;
    loop
        begin
            if w[30] <> 'fast' and df._is_stopped(v_instance, v_token) then
                raise exception 'stopped before it ran' using errcode = 'PD499';
            end if;
            if v_kind <> 'map' and not coalesce(has_function_privilege(session_user, to_regproc(w[20])::oid, 'execute'), false) then
                raise exception 'login % does not work for the role of this step', session_user using errcode = 'PD403';
            end if;
            if v_kind = 'map' then
                v_follow := df._open(v_instance, v_scope, v_step, v_token, w[29]::bigint, v_started);
            else
                execute 'select ' || w[20] || '($1, $2, $3, $4) as o' into v_outcome using v_instance, v_scope, v_step, v_token;
                v_result := (v_outcome.o).result;
                v_rows := (v_outcome.o).row_count;
                if v_kind <> 'sql' then
                    v_forced := df._judge(v_kind, v_result, w[29]::bigint, v_step);
                end if;
                if w[30] <> 'fast' then
                    -- inside the savepoint: a stop that arrives during the checkpoint undoes both
                    v_phase := 'finish';
                    if df._is_stopped(v_instance, v_token) then
                        raise exception 'stopped while it ran' using errcode = 'PD499';
                    end if;
                    v_follow := df._finish(w, v_result, v_rows, v_started, v_forced);
                elsif not df._is_open(v_instance) then
                    raise exception 'stopped while it ran' using errcode = 'PD499';
                end if;
            end if;
            v_ok := true;
        exception when others or query_canceled or assert_failure then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
                v_hint = pg_exception_hint, v_context = pg_exception_context;
            if v_phase = 'finish' and v_state not in ('57014', 'PD499', 'PD409', '25006') then
                raise;
            end if;
        end;
        exit when v_ok;
        if v_state = '40P01' and v_deadlocks < 3 then
            v_deadlocks := v_deadlocks + 1;
            v_phase := 'step';
            continue;
        end if;
        if v_state in ('57014', 'PD499') then
            v_stop := df._stop_reason(v_instance, v_token);
            if v_stop is null then
                v_spurious := v_spurious + 1;
                if v_spurious < 5 then
                    v_phase := 'step';
                    continue;
                end if;
            end if;
        end if;
        exit;
    end loop;

    if v_ok and w[30] = 'fast' and v_kind <> 'map' then
        -- outside the savepoint: its own transaction id would make a multixact with the claim's row lock, one per step
        v_follow := df._finish(w, v_result, v_rows, v_started, v_forced);
    end if;
    w[1] := 'done';
    w[41] := 't';
    if v_ok then
        -- follow what became ready, but not for ever: at most sixteen steps or 20 ms, then the queue has its turn
        if v_follow is not null and w[13]::integer < 16 and clock_timestamp() < w[14]::timestamptz + interval '20 milliseconds' then
            w[10] := v_instance;
            w[11] := case when v_scope <> 0 then df._scope_of(v_instance, v_scope, v_step, w[29]::bigint)::text else '0' end;
            w[12] := v_follow::text;
            w[13] := (w[13]::integer + 1)::text;
        end if;
        v_took := clock_timestamp() - v_started;
        if w[30] <> 'fast' or v_took > interval '50 milliseconds' then
            perform df._count_speed(w[29]::bigint, v_step, v_took, w[30] = 'fast');
        end if;
    elsif v_state = 'PD409' and v_phase = 'finish' then
        null;       -- the claim was lost; its effects are undone
    elsif v_stop = 'cancel' then
        perform df._cancel_step(v_instance, v_scope, v_step, v_token, v_started);
    else
        perform df._count_speed(w[29]::bigint, v_step, interval '1 day', true);
        perform df._fail_attempt(v_instance, v_scope, v_step, v_token,
            case when v_stop = 'timeout' then jsonb_build_object('sqlstate', 'PD408', 'message', 'the attempt ran longer than its timeout')
                else jsonb_strip_nulls(jsonb_build_object('sqlstate', v_state, 'message', v_message, 'detail', nullif(v_detail, ''), 'hint', nullif(v_hint, ''),
                    'context', nullif(df._own_context(v_context), ''))) end,
            v_state not in ('PD403', 'PD501'), v_started);
    end if;
    if w[32] = 'true' then
        perform df._end_solo(v_token);
    end if;
    if not v_ok then
        perform df._end_stop(v_token);
    end if;
    w[21] := (w[21]::bigint + 1)::text;
    return w;
end
$$;
