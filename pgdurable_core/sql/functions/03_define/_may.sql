-- _may: whether one role may act for another: itself, a member of it, an operator, or the owner of df.
create or replace function df._may(p_caller regrole, p_owner regrole) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p_caller = p_owner
        or p_caller = (select n.nspowner from pg_namespace n where n.nspname = 'df')
        or exists (select from df._roles r where r.role = p_caller and r.is_operator)
        or df._may_be(p_caller, p_owner)
$$;
