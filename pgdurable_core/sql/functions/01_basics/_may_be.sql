-- _may_be: whether a role could become another with SET ROLE. From PostgreSQL 16 on membership alone does not say so.
create or replace function df._may_be(p_caller regrole, p_role regrole) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_has_role(p_caller, p_role, case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end);
end
$$;
