-- _checkpoint: record a step that succeeded, and carry the success on.
--
-- The short way, where success leads to one step: that step's row is made at once, and when it is plain SQL of the
-- same role and p_ahead is given, it is claimed for this session in the same commit. Everything else takes the
-- long way, df._finish_step and df._advance.
--
-- Takes a claim's identity from hands that may lie (df._ahead): the step must be what p_kind says and, unless
-- p_fast (locked in this very transaction), be held by p_session. A login that names another's session there can
-- take over what it may run anyway; the other's attempt is then lost, its effects undone. Ahead is claimed for this
-- session alone.
-- A cancel shows in the instance's state before its stop row; what has no deadline is stopped by nothing else.
--
-- Returns {step, token} claimed ahead, {step} to follow, or null.
-- Locks   the step row; then as _finish_step.
-- Raises  PD409 the claim is lost; PD499 the instance is over, or a stop row waits.
create or replace function df._checkpoint(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_kind text, p_session bigint,
    p_fast boolean, p_ahead boolean, p_result json, p_rows bigint, p_started timestamptz, p_forced integer[]) returns bigint[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_plan bigint;
    v_state text;
    v_short boolean;
    v_next integer;
    v_token bigint;
    v_lane smallint;
    v_holder bigint;
begin
    -- states stand in a CASE, which hides them from the partial indexes: these are look-ups by key
    update df._steps t
    set state = 'completed', attempt = t.attempt + 1, holder = null, started_at = p_started, finished_at = clock_timestamp(),
        result = p_result, row_count = p_rows, error = null, deadline_at = null, is_suspect = false
    from df._instances i
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step and t.seq = p_token and t.is_settled
      and case when i.state not in ('pending', 'running') then false when p_fast then t.state = 'ready'
          else t.state = 'running' and t.holder = p_session and (t.deadline_at is null or not exists (select from df._stops x where x.token = p_token)) end
      and i.instance_id = p_instance
    returning t.plan_id, i.state, i.generation = 1 and p_forced is null, p_ahead and not i.has_deadlines into v_plan, v_state, v_short, p_ahead;
    if v_short then
        insert into df._steps as t (instance_id, scope_id, step, plan_id, state, lane, holder, started_at)
        select p_instance, p_scope, p.next_step, v_plan, case when se.session_id is null then 'ready' else 'running' end, p.next_lane,
            se.session_id, case when se.session_id is not null then clock_timestamp() end
        from df._plan_steps p
        left join df._sessions se on p_ahead and p.next_is_alike
            and se.session_id = p_session and se.pid = pg_backend_pid() and se.login = session_user
        where p.plan_id = v_plan and p.step = p_step and p.next_step > 0 and p.kind = p_kind
        returning t.step, t.seq, t.lane, t.holder into v_next, v_token, v_lane, v_holder;
        if v_state = 'pending' then
            perform df._mark_running(p_instance, p_started);
        end if;
        if v_holder is not null then
            return array[v_next, v_token];
        elsif v_lane = 1 then
            return array[v_next];
        elsif v_lane is not null then
            perform df._wake(array[v_lane], false);
            return null;
        end if;
        select p.next_step into v_next from df._plan_steps p where p.plan_id = v_plan and p.step = p_step and p.kind = p_kind;
        if v_next = 0 then
            update df._instances i
            set state = 'completed', started_at = coalesce(i.started_at, p_started), finished_at = clock_timestamp()
            where i.instance_id = p_instance and i.state in ('pending', 'running');
            return null;
        end if;
    elsif v_plan is null then
        if not p_fast then
            if not df._held(p_instance, p_scope, p_step, p_token) or not exists (
                    select from df._steps t join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step and p.kind = p_kind
                    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step) then
                raise exception 'the claim on step % of instance % is lost', p_step, p_instance using errcode = 'PD409';
            elsif df._is_stopped(p_instance, p_token) then
                raise exception 'stopped while it ran' using errcode = 'PD499';
            end if;
        end if;
        perform df._mark_running(p_instance, p_started);
        return array[df._finish_step(p_instance, p_scope, p_step, p_token, 'completed', p_result, p_rows, null, null, p_started, p_forced)];
    elsif v_state = 'pending' then
        perform df._mark_running(p_instance, p_started);
    end if;
    if not exists (select from df._plan_steps p where p.plan_id = v_plan and p.step = p_step and p.kind = p_kind) then
        raise exception 'the claim on step % of instance % is not what it was', p_step, p_instance using errcode = 'PD409';
    end if;
    return array[df._advance(p_instance, v_plan, p_scope, array[p_step], df._vector('completed'), p_forced)];
end
$$;
