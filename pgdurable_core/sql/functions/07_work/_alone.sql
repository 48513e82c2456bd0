-- _alone: refuse what only df.work may call, between its own commits: from inside a step, whose author has the rights
-- of none but himself while the session's login may serve others; and under a snapshot that is older than the call.
--
-- Raises  PD403.
create or replace function df._alone() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context text;
begin
    get diagnostics v_context = pg_context;
    -- its owner can alter a runner, and so how it is named here; nobody but df's owner df._run_as
    if strpos(v_context, '_run_as(') > 0 or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'this is for df.work alone' using errcode = 'PD403', hint = 'call df.work();';
    end if;
    return null;
end
$$;
