create or replace function df.cancel(instance_id text, reason text default 'Cancelled by user') returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform df._ask('command', jsonb_build_object('kind', 'cancel', 'instance_id', instance_id, 'reason', reason));
    return 'Instance ' || current_setting('df.answer') || ' cancelled';
end
$$;
comment on function df.cancel(text, text) is 'cancel an instance when this transaction commits; a running statement is stopped within a second while a watchdog lives';
