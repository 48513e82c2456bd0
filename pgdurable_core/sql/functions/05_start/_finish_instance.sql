-- _finish_instance: the last token came back. A cancelled instance stays cancelled.
create or replace function df._finish_instance(p_instance text, p_state text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update df._instances i
    set state = p_state, started_at = coalesce(i.started_at, clock_timestamp()), finished_at = clock_timestamp(),
        error = case when p_state = 'failed' then df._first_error(p_instance) end
    where i.instance_id = p_instance and i.state in ('pending', 'running');
    if found and p_state = 'failed' then
        insert into df._events (instance_id, workflow_id, kind, actor, submitted_by, detail)
        select i.instance_id, i.workflow_id, 'instance_failed', 'engine', i.submitted_by,
            case when v.document ? 'on_failure' then jsonb_build_object('callback_not_run', v.document -> 'on_failure') end
        from df._instances i join df._workflow_versions v on v.workflow_id = i.workflow_id and v.version = i.version
        where i.instance_id = p_instance;
    end if;
end
$$;
