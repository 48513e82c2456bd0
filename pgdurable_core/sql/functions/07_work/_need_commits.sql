-- _need_commits: refuse a call that cannot commit, before it does anything.
--
-- A COMMIT inside a savepoint is refused either way, but in different words where the whole call is
-- atomic: the words a function hears, which is always. Comparing the two needs no language.
--
-- Raises  PD500 with the command to use instead.
create or replace function df._need_commits(p_refusal text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_atomic text;
begin
    begin
        commit;
    exception when invalid_transaction_termination then
        get stacked diagnostics v_atomic = message_text;
    end;
    if p_refusal = v_atomic then
        raise exception 'df.work commits, so it cannot run inside a transaction block or with other statements' using errcode = 'PD500',
            hint = 'Run it alone, in autocommit: call df.work();';
    end if;
end
$$;
