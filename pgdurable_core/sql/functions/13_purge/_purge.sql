-- _purge: one transaction of a df.purge call. Its state passes through the caller's hands, who may purge whatever it
-- says; nothing else is read from it.
--
-- Raises  PD403; PD500 above read committed, where a check could not see what was committed meanwhile; as _purge_asked.
create or replace function df._purge(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state jsonb := (p_args ->> 'state')::jsonb;
begin
    perform df._may_purge(p_caller);
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'purging needs read committed' using errcode = 'PD500', hint = 'Run it alone, in autocommit: call df.purge();';
    end if;
    if v_state is null then
        v_state := df._purge_asked(p_args) || jsonb_build_object('until', extract(epoch from clock_timestamp()) + (p_args ->> 'max_seconds')::numeric);
    end if;
    v_state := df._purge_turn(v_state);
    if v_state ? 'over' or extract(epoch from clock_timestamp()) > (v_state ->> 'until')::numeric then
        v_state := v_state || '{"ends": true}';
        if coalesce((v_state ->> 'instances')::bigint, 0) > 0 then
            insert into df._events (kind, actor, submitted_by, traceparent, detail)
            values ('purged', p_args ->> 'actor', p_caller, p_args ->> 'traceparent',
                v_state - 'until' - 'ends' - 'over' - 'workflow' - 'phase' - 'at' - 'id' - 'batch' - 'only');
        end if;
    end if;
    return v_state;
end
$$;
