-- grants.sql: last. Nothing is anybody's until df.grant_usage, df.grant_worker or df.grant_operator says so.
revoke all on schema df, df_runners from public;
revoke all on all tables in schema df from public;
revoke all on all sequences in schema df from public;
revoke all on all functions in schema df from public;
revoke all on all procedures in schema df from public;

-- the owner of df is its first user, worker and runner
do $$
begin
    perform df._make_runner(df._me());
    insert into df._roles (role, is_user, may_write_modules) values (df._me(), true, true) on conflict do nothing;
    perform df._grant_surface(r.role::text) from df._roles r where (r.is_user or r.is_operator) and r.role <> df._me();
    perform df.grant_worker(w.worker::text, w.role::text) from df._worker_roles w where w.worker <> df._me() and df._runner(w.role) is not null;
end
$$;
