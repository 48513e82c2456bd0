-- ds_format: a date text read by one Python format and written by another (Airflow: macros.ds_format).
--
-- In UTC, since to_timestamp speaks of the session's zone and would move what falls into its gap in spring.
create or replace function df.ds_format(ds text, input_format text, output_format text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$ select to_char(to_timestamp(ds, df._strptime_pattern(input_format))::timestamp, df._strptime_pattern(output_format)) $$;
comment on function df.ds_format(text, text, text) is 'a date text read by one Python format and written by another (Airflow: macros.ds_format)';
