-- _ahead: one transaction of df.work: run the step that was claimed by the commit of the step before it.
--
-- a[1] what: ahead; on return also follow (a[4] is ready), redo (a[4] and a[5] are still claimed) or null (the queue's
-- turn) · 2-5 instance, scope, step, token · 6 role · 7 session · 8 worker · 9, 10 steps followed, since when ·
-- 11 of which functions it is ·
-- 12 a step was slow or failed, and lost the one-commit lane.
-- Like w of df._turn it passes through the caller's hands: the runner's name is built from an oid, the login's right
-- to it is asked here, and df._run_as and df._checkpoint look for themselves whose the step is. Only plain SQL.
--
-- As df._execute: the step and its checkpoint in one savepoint, one handler. A deadlock or a cancel is tried once
-- more there, with the whole ceremony; any other failure is recorded here.
create or replace function df._ahead(a text[]) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = 0
as $$
declare
    v_instance constant text := a[2];
    v_scope constant bigint := a[3];
    v_step constant integer := a[4];
    v_token constant bigint := a[5];
    v_runner constant text := 'df_runners.run_' || a[6]::oid;
    v_started constant timestamptz := clock_timestamp();
    v_outcome record;
    v_next bigint[];
    v_void text;
    v_finishing boolean;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
    v_context text;
begin
    v_void := df._alone();
    if a[11] is distinct from '@functions@' then       -- replaced meanwhile: df._turn hands everything back
        return array[null, a[2]];
    end if;
    v_void := pg_try_advisory_xact_lock_shared((57089::bigint << 48) | (v_token & 281474976710655));
    if a[8] is not null then
        raise notice using errcode = 'PD000', message = concat_ws(':', v_instance, v_scope, v_step, v_token);
    end if;
    begin
        if not coalesce(has_function_privilege(session_user, to_regproc(v_runner)::oid, 'execute'), false) then
            raise exception 'login % does not work for the role of this step', session_user using errcode = 'PD403';
        end if;
        execute 'select ' || v_runner || '($1, $2, $3, $4) as o' into v_outcome using v_instance, v_scope, v_step, v_token;
        v_void := set_config('lock_timeout', '0', true);        -- a role's own, or the step's, is not for what follows
        v_finishing := true;
        v_next := df._checkpoint(v_instance, v_scope, v_step, v_token, 'sql', a[7]::bigint, false,
            a[9]::integer < 16 and date_part('epoch', clock_timestamp()) < a[10]::double precision + 0.1,
            (v_outcome.o).result, (v_outcome.o).row_count, v_started, null);
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
            v_hint = pg_exception_hint, v_context = pg_exception_context;
        if v_finishing and v_state not in ('57014', 'PD499', 'PD409', '25006') then
            raise;
        end if;
    end;
    if v_state is null then
        if clock_timestamp() > v_started + interval '50 milliseconds' then
            a[12] := 't';
            perform df._count_speed(t.plan_id, v_step, false) from df._steps t
            where t.instance_id = v_instance and t.scope_id = v_scope and t.step = v_step;
        end if;
        if v_next[2] is not null then
            return array['ahead', v_instance, a[3], v_next[1]::text, v_next[2]::text, a[6], a[7], a[8], (a[9]::integer + 1)::text, a[10], a[11], a[12]];
        end if;
        a[1] := case when v_next[1] is not null then 'follow' end;
        a[4] := v_next[1]::text;
        a[5] := null;
        return a;
    elsif v_state in ('40P01', '57014', 'PD499') or v_state = 'PD409' and v_finishing then
        a[1] := 'redo';
        return a;
    end if;
    if df._held(v_instance, v_scope, v_step, v_token) then
        perform df._failed(v_instance, v_scope, v_step, v_token, v_started, v_state, v_message, v_detail, v_hint, v_context);
    end if;
    a[1] := null;
    a[12] := 't';
    return a;
end
$$;
