-- _alone: refuse what only df.work may call, between its own commits: from inside a step, whose author has the rights
-- of none but himself while the session's login may serve others; and under a snapshot that is older than the call.
--
-- Raises  PD403.
create or replace function df._alone() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context text;
begin
    get diagnostics v_context = pg_context;
    if strpos(v_context, 'df_runners.') > 0 or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'this is for df.work alone' using errcode = 'PD403', hint = 'call df.work();';
    end if;
end
$$;
