-- _gate: act for the caller of df._ask, whose name the column default of df._calls has proven.
--
-- The trigger runs as the owner of df and stores no row. It refuses to be attached elsewhere.
create or replace function df._gate() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer text;
begin
    if tg_relid <> 'df._calls'::regclass or tg_op <> 'INSERT' then
        raise exception 'df._gate belongs to df._calls' using errcode = 'PD403';
    end if;
    v_answer := case new.verb
        when 'define' then df._define(new.caller, new.args)
        when 'start' then df._start(new.caller, new.args)
        when 'command' then df._command(new.caller, new.args)
        when 'pause' then df._set_paused(new.caller, new.args)
        when 'complete' then df._complete_claimed(new.caller, new.args)
        when 'module' then df._set_module(new.caller, new.args)
        when 'connection' then df._set_connection(new.caller, new.args)
        when 'variable' then df._set_variable(new.caller, new.args)
        when 'purge' then df._purge(new.caller, new.args)
        when 'purgeable' then df._purgeable(new.caller, new.args)
        when 'retention' then df._set_retention(new.caller, new.args)
    end;
    perform set_config('df.answer', coalesce(v_answer, ''), true);
    return null;
end
$$;
do $$
begin
    -- made once: replacing it at every upgrade would wait for every open transaction that used df
    if not exists (select from pg_trigger t where t.tgrelid = 'df._calls'::regclass and t.tgname = 'gate') then
        create trigger gate before insert or update or delete on df._calls for each row execute function df._gate();
    end if;
end
$$;
