-- _obey: process the oldest command of some instance, if there is one. Returns whether there was.
--
-- A command that cannot act yet comes back in a moment; one that fails three times is set aside as an event. A retry
-- that a later cancel has overtaken never begins: else steps could run between the two.
--
-- Locks   the command row (skip locked), the instance row, then as the command says.
create or replace function df._obey() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    c record;
    v_answer text;
    v_message text;
    v_state text;
begin
    select x.* into c from df._commands x
    where coalesce(x.not_before, '-infinity') <= clock_timestamp()
      and not exists (select from df._commands o where o.instance_id = x.instance_id and o.command_id < x.command_id and x.kind <> 'propagate')
    order by x.command_id limit 1 for update skip locked;
    if not found then
        return false;
    end if;
    begin
        -- whoever holds the instance now may hold it for long: come back
        perform 1 from df._instances i where i.instance_id = c.instance_id for no key update skip locked;
        v_answer := case when not found and exists (select from df._instances i where i.instance_id = c.instance_id) then 'later' else case c.kind
            when 'cancel' then coalesce(nullif(df._do_cancel(c.instance_id), case when c.args ? 'takes_back' then 'it had ended before' end), 'done')
            when 'retry' then case when df._take_back(c.instance_id, c.command_id) then 'taken back by a cancel' else df._do_retry(c.instance_id) end
            when 'propagate' then df._do_propagate(c.instance_id, c.args) end end;
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_message = message_text, v_state = returned_sqlstate;
        v_answer := case when c.attempts < 2 then 'later' else 'failed: ' || v_state || ' ' || v_message end;
        update df._commands x set attempts = x.attempts + 1 where x.command_id = c.command_id;
    end;
    if v_answer = 'later' then
        update df._commands x set not_before = clock_timestamp() + interval '200 milliseconds' where x.command_id = c.command_id;
        return true;
    end if;
    if c.kind <> 'propagate' or v_answer <> 'done' then
        insert into df._events (instance_id, workflow_id, kind, actor, submitted_by, reason, traceparent, detail)
        select c.instance_id, i.workflow_id, c.kind || case when v_answer = 'done' then '' else '_refused' end, c.actor, c.submitted_by, c.reason,
            c.traceparent, case when v_answer <> 'done' then jsonb_build_object('answer', v_answer) end
        from df._instances i where i.instance_id = c.instance_id;
    end if;
    delete from df._commands x where x.command_id = c.command_id;
    return true;
end
$$;
