-- _command: leave a command for the engine. An insert only: it locks nothing the engine needs, and
-- rolls back with the caller.
--
-- A finished instance can be cancelled while a retry of it waits: that takes the retry back (_obey).
create or replace function df._command(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    i record;
begin
    select x.instance_id, x.submitted_by, x.state, x.workflow_id into i from df._instances x where x.instance_id = df._find_instance(p_args ->> 'instance_id');
    if not df._may(p_caller, i.submitted_by) then
        raise exception 'instance % belongs to %', i.instance_id, i.submitted_by using errcode = 'PD403';
    end if;
    if p_args ->> 'kind' = 'cancel' and i.state in ('completed', 'failed', 'cancelled') and coalesce(
        (select c.kind from df._commands c where c.instance_id = i.instance_id and c.kind <> 'propagate' order by c.command_id desc limit 1), '') <> 'retry' then
        raise exception 'instance % is already %', i.instance_id, i.state using errcode = 'PD409';
    elsif p_args ->> 'kind' = 'retry' and i.state in ('pending', 'running') and not exists (
        select from df._commands c where c.instance_id = i.instance_id and c.kind = 'cancel') then
        raise exception 'instance % is still %', i.instance_id, i.state using errcode = 'PD409', hint = format('Cancel it first: select df.cancel(%L)', i.instance_id);
    elsif p_args ->> 'kind' = 'retry' and i.state = 'completed' and not exists (
        select from df._steps s where s.instance_id = i.instance_id and s.state in ('failed', 'upstream_failed')) then
        raise exception 'instance % is completed; nothing in it failed', i.instance_id using errcode = 'PD409', hint = 'Start a new instance.';
    end if;
    if p_args ->> 'kind' = 'retry' then
        -- until the caller commits: purge passes it by, and no engine write meets this lock
        perform from df._instances x where x.instance_id = i.instance_id for key share skip locked;
        if not found then
            raise exception 'instance % is being purged', i.instance_id using errcode = 'PD409', hint = 'Start a new instance.';
        end if;
    end if;
    insert into df._commands (instance_id, kind, args, submitted_by, actor, reason, traceparent)
    values (i.instance_id, p_args ->> 'kind', '{}', p_caller, p_args ->> 'actor', p_args ->> 'reason', p_args ->> 'traceparent');
    perform df._wake('{1}', true);
    return i.instance_id;
end
$$;
