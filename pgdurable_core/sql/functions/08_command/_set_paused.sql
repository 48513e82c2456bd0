-- _set_paused: pause or resume a workflow's schedule.
--
-- Raises  PD501 on resume while this version runs no schedules; PD404; PD403.
create or replace function df._set_paused(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    w record;
    v_paused constant boolean := (p_args ->> 'paused')::boolean;
begin
    select x.workflow_id, x.created_by, x.is_paused, v.schedule into w
    from df._workflows x join df._workflow_versions v on v.workflow_id = x.workflow_id and v.version = x.version
    where x.namespace = coalesce(p_args ->> 'namespace', 'default') and x.name = p_args ->> 'name';
    if not found then
        raise exception 'there is no workflow %', coalesce(quote_literal(p_args ->> 'name'), 'null') using errcode = 'PD404', hint = 'pgdurable workflows lists them.';
    end if;
    if not df._may(p_caller, w.created_by) then
        raise exception 'workflow % belongs to %', p_args ->> 'name', w.created_by using errcode = 'PD403';
    end if;
    if not v_paused and w.schedule is not null then
        raise exception 'this version keeps schedules (%: %) but does not run them', p_args ->> 'name', w.schedule using errcode = 'PD501',
            hint = format('Start runs by hand or from cron: select df.start_workflow(%L, run_key => ...)', p_args ->> 'name');
    end if;
    update df._workflows x set is_paused = v_paused where x.workflow_id = w.workflow_id and x.is_paused <> v_paused;
    if found then
        insert into df._events (workflow_id, kind, actor, submitted_by, reason)
        values (w.workflow_id, case when v_paused then 'workflow_paused' else 'workflow_resumed' end, p_args ->> 'actor', p_caller, p_args ->> 'reason');
    end if;
    return case when v_paused then 'paused' else 'resumed' end;
end
$$;
