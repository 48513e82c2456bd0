-- _do_cancel: end an instance now. Steps that wait are cancelled where their rows can be had without
-- waiting; a claim that finds a row of a finished instance cancels it; running ones get a stop row.
create or replace function df._do_cancel(p_instance text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update df._instances i set state = 'cancelled', finished_at = clock_timestamp()
    where i.instance_id = p_instance and i.state in ('pending', 'running');
    if not found then
        return 'it had ended before';
    end if;
    update df._steps s set state = 'cancelled', finished_at = clock_timestamp(), due_at = null, reason = 'cancelled'
    from (select t.instance_id, t.scope_id, t.step from df._steps t where t.instance_id = p_instance and t.state in ('ready', 'sleeping', 'retrying', 'waiting')
        for no key update skip locked) x
    where s.instance_id = x.instance_id and s.scope_id = x.scope_id and s.step = x.step;
    insert into df._stops (token, session_id, worker_id, instance_id, reason)
    select s.seq, s.holder, s.worker_id, s.instance_id, 'cancel' from df._steps s where s.instance_id = p_instance and s.state = 'running'
    on conflict do nothing;
    return 'done';
end
$$;
