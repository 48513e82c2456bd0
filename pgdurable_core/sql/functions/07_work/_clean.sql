-- _clean: undo what a step left in the session. Called by df.work in the transaction after the step's:
-- no search path of its own, since `reset all` undoes a function's setting too, so every name is qualified.
create or replace function df._clean() returns text
language plpgsql
as $$
declare
    v_unlocked pg_catalog.text;
begin
    execute 'reset all; discard temp; deallocate all; unlisten *; discard sequences';
    v_unlocked := pg_catalog.pg_advisory_unlock_all();
    if pg_catalog.current_setting('client_connection_check_interval') operator(pg_catalog.=) '0' then
        perform df._watch_client();
    end if;
    return pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
end
$$;
