create or replace function df.copied_from() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' at ', coalesce(e.environment, 'another database'), e.endpoint) || ': ' || x.why
    from df._engine e cross join df._strayed() x(why) where x.why is not null
$$;
comment on function df.copied_from() is 'which database this one is a copy of, and how that shows; null when it is no copy, or was adopted';
