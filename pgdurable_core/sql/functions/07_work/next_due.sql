create or replace function df.next_due() returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select least((select s.due_at - e.clock_offset from df._steps s, df._engine e where s.state in ('sleeping', 'retrying') order by s.due_at limit 1),
        (select min(c.not_before) from df._commands c))
$$;
comment on function df.next_due() is 'when the earliest timer is due, or null';
