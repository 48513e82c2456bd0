-- _count_speed: twenty attempts in a row under 50 ms earn the one-commit lane; a slow or failed one forfeits it.
--
-- Writes only while the lane is being earned or lost, and never waits for another session's count.
-- Returns whether the lane is earned.
create or replace function df._count_speed(p_plan bigint, p_step integer, p_quick boolean) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    v_streak integer;
begin
    if not p_quick then
        delete from df._step_lanes l where (l.plan_id, l.step) in (
            select k.plan_id, k.step from df._step_lanes k where k.plan_id = p_plan and k.step = p_step for update skip locked);
        return false;
    end if;
    select l.fast_streak into v_streak from df._step_lanes l where l.plan_id = p_plan and l.step = p_step;
    if not found then
        if pg_try_advisory_xact_lock(df._advert(2) # (p_plan << 17) # p_step) then
            insert into df._step_lanes (plan_id, step, fast_streak) values (p_plan, p_step, 1) on conflict do nothing;
        end if;
    elsif v_streak < 20 then
        update df._step_lanes l set fast_streak = l.fast_streak + 1 where (l.plan_id, l.step) in (
            select k.plan_id, k.step from df._step_lanes k where k.plan_id = p_plan and k.step = p_step for no key update skip locked);
    end if;
    return coalesce(v_streak >= 20, false);
end
$$;
