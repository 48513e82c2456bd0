-- _me: the role that calls, as an oid that survives a rename and dies with the role.
create or replace function df._me() returns regrole
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select quote_ident(current_user)::regrole $$;
