-- _reader: the reading role, and whether it sees everybody's rows: the owner of df, and operators. One look per query.
create or replace view df._reader as
select df._me() as role,
    df._me() = (select n.nspowner from pg_namespace n where n.nspname = 'df')
    or exists (select from df._roles r where r.role = df._me() and r.is_operator) as sees_all;
