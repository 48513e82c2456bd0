-- ds_add: a date in Airflow's text form, moved by days (Airflow: macros.ds_add).
create or replace function df.ds_add(ds text, days integer) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select to_char(ds::date + days, 'YYYY-MM-DD') $$;
comment on function df.ds_add(text, integer) is 'a date in Airflow''s text form, moved by days (Airflow: macros.ds_add)';
