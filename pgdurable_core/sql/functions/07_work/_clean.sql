-- _clean: undo what a step left in the session. Called by df.work in the transaction after the step's: an advisory
-- lock of the session is held until what the step wrote is committed. Listens are undone before, by df.work:
-- no search path of its own, since `reset all` undoes a function's setting too, so every name is qualified.
--
-- p_since: the caller had prepared statements of its own (drivers prepare what is called often): only what SQL
-- prepared since then is the step's.
create or replace function df._clean(p_since timestamptz) returns text
language plpgsql
as $$
declare
    v_watch constant pg_catalog.text := pg_catalog.current_setting('client_connection_check_interval');
    v_name pg_catalog.text;
begin
    reset all;
    discard temp;
    discard sequences;
    if p_since is null then
        deallocate all;
    else
        for v_name in select p.name from pg_catalog.pg_prepared_statements p where p.from_sql and p.prepare_time operator(pg_catalog.>=) p_since loop
            execute pg_catalog.concat('deallocate ', pg_catalog.quote_ident(v_name));
        end loop;
    end if;
    if v_watch operator(pg_catalog.=) '0' then      -- a step turned it off, or the platform has none
        perform df._watch_client();
        return pg_catalog.pg_advisory_unlock_all();
    end if;
    return pg_catalog.concat(pg_catalog.pg_advisory_unlock_all(), pg_catalog.set_config('client_connection_check_interval', '500', false));
end
$$;
