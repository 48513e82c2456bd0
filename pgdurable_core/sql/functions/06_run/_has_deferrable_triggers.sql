-- _has_deferrable_triggers: whether user triggers or exclusion constraints could run at commit.
create or replace function df._has_deferrable_triggers() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_trigger t where t.tgdeferrable and not t.tgisinternal)
        or exists (select from pg_constraint c where c.contype = 'x' and c.condeferrable)
$$;
