-- _iso: a moment as Python's datetime.isoformat() writes it in UTC: 2024-01-02T03:04:05+00:00.
create or replace function df._iso(p_at timestamptz) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    select to_char(p_at, 'YYYY-MM-DD"T"HH24:MI:SS')
        || case when extract(microseconds from p_at)::integer % 1000000 <> 0 then to_char(p_at, '.US') else '' end || '+00:00'
$$;
