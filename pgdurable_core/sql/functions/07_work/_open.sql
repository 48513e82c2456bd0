-- _open: open a map step's scopes and record it, or skip it when there is nothing to map over.
create or replace function df._open(p_instance text, p_scope bigint, p_step integer, p_token bigint, p_plan bigint, p_started timestamptz)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set lock_timeout = 0
as $$
declare
    v_length integer;
    v_settled boolean;
begin
    v_length := df._open_map(p_instance, p_scope, p_step, p_plan);
    if v_length = 0 then
        return df._finish_step(p_instance, p_scope, p_step, p_token, 'skipped', null, null, null, 'nothing to map over', p_started);
    end if;
    perform df._mark_running(p_instance, p_started);
    update df._steps s set state = 'completed', row_count = v_length, started_at = p_started, finished_at = clock_timestamp(), holder = null
    where s.instance_id = p_instance and s.scope_id = p_scope and s.step = p_step and s.seq = p_token and s.state in ('ready', 'running')
    returning s.is_settled into v_settled;
    if not found then
        raise exception 'the claim on step % of instance % is lost', p_step, p_instance using errcode = 'PD409';
    end if;
    if not v_settled then
        -- decided early: a token at the end until its own upstreams are done, lent before any child can end
        update df._joins j set is_terminal = true
        where j.instance_id = p_instance and j.scope_id = p_scope and j.step = p_step and j.shard = 0
        returning j.s + j.f + j.k + j.u + j.r >= j.n into v_settled;
        if not coalesce(v_settled, true) then
            insert into df._joins as t (instance_id, scope_id, step, shard, n, shards)
            select p_instance, p_scope, e.step, 0, e.n + 1, e.shards from df._plans pl
            join df._plan_steps e on e.plan_id = pl.plan_id and e.step = pl.step_count where pl.plan_id = p_plan
            on conflict (instance_id, scope_id, step, shard) do update set n = t.n + 1;
        end if;
    end if;
    return null;
end
$$;
