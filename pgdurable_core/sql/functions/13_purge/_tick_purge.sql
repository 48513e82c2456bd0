-- _tick_purge: a small share of what df._retention asks for, whoever ticks; nothing when nothing is set.
--
-- A round through all workflows, then a minute of rest.
--
-- Locks   the row of _purge_turns (skip locked); then as _purge_turn.
create or replace function df._tick_purge() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state jsonb;
begin
    if not exists (select from df._retention) and not exists (select from df._purging) then
        return 0;
    end if;
    select t.state into v_state from df._purge_turns t where t.next_at <= clock_timestamp() for update skip locked;
    if not found then
        return 0;
    end if;
    v_state := df._purge_turn(v_state || '{"batch": 200}');
    update df._purge_turns t set state = case when v_state ? 'over' then '{}' else v_state end,
        next_at = case when v_state ? 'over' then clock_timestamp() + interval '1 minute' else t.next_at end;
    return coalesce((v_state ->> 'instances')::integer, 0);
end
$$;
