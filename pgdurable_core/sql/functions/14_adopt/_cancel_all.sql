-- _cancel_all: end every open instance, drop every command, and pause every schedule: nothing that the original does
-- is done here a second time. Returns how many instances were open.
create or replace function df._cancel_all(p_actor text, p_reason text) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from df._commands;
    with ended as (
        update df._instances i set state = 'cancelled', finished_at = clock_timestamp() where i.finished_at is null
        returning i.instance_id, i.workflow_id, i.submitted_by
    )
    insert into df._events (instance_id, workflow_id, kind, actor, submitted_by, reason)
    select e.instance_id, e.workflow_id, 'cancel', p_actor, e.submitted_by, p_reason from ended e;
    get diagnostics v_count = row_count;
    update df._steps s set state = 'cancelled', finished_at = clock_timestamp(), due_at = null, deadline_at = null, reason = 'cancelled'
    where s.state in ('ready', 'sleeping', 'retrying', 'waiting') and exists (
        select from df._instances i where i.instance_id = s.instance_id and i.state = 'cancelled');
    update df._workflows w set is_paused = true
    from df._workflow_versions v
    where v.workflow_id = w.workflow_id and v.version = w.version and v.schedule is not null and not w.is_paused;
    return v_count;
end
$$;
