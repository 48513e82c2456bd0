-- _me: the role that calls, as an oid that survives a rename and dies with the role.
-- Without a SET clause, so that it can be inlined; every name is qualified instead.
create or replace function df._me() returns regrole
language sql stable
as $$ select pg_catalog.quote_ident(current_user)::pg_catalog.regrole $$;
