-- _refuse_copy: refuse to start or run anything in a copy of a database, until somebody has said what it is.
--
-- Raises  PD500.
create or replace function df._refuse_copy() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_why constant text := df._strayed();
begin
    if v_why is not null then
        raise exception 'database % is a copy of %: %', current_database(),
            (select concat_ws(' at ', coalesce(e.environment, 'another'), e.endpoint) from df._engine e), v_why
            using errcode = 'PD500', hint = 'Its owner says what it is: pgdurable adopt move, when it takes the other''s place; '
                'pgdurable adopt copy, to cancel what is open in it. Or select df.adopt(''name'', what => ''copy'').';
    end if;
end
$$;
