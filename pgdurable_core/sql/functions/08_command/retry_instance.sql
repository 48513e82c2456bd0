create or replace function df.retry_instance(instance_id text, reason text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform df._ask('command', jsonb_build_object('kind', 'retry', 'instance_id', instance_id, 'reason', reason));
    return current_setting('df.answer');
end
$$;
comment on function df.retry_instance(text, text) is 'run the failed steps of a finished instance again, and what comes after them; finished work stays';
