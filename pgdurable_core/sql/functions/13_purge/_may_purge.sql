-- _may_purge: refuse who is neither the owner of df nor an operator. Raises PD403.
create or replace function df._may_purge(p_caller regrole) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_caller <> (select n.nspowner from pg_namespace n where n.nspname = 'df')
        and not exists (select from df._roles r where r.role = p_caller and r.is_operator) then
        raise exception '% may not say what is kept', p_caller using errcode = 'PD403',
            hint = 'The owner of df and operators may: select df.grant_operator(...)';
    end if;
end
$$;
