-- doctor: everything about its health that this database can tell. Reads, assigns no transaction id, and every look
-- is bounded. SECURITY DEFINER for the base tables; EXECUTE is the owner's and the operators', and nobody else's.
create or replace function df.doctor() returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- what stood there when the transaction began is no answer (hazard 15)
    perform pg_stat_clear_snapshot();
    return query select * from df._doctor_server();
    return query select * from df._doctor_settings();
    return query select * from df._doctor_engine();
    return query select * from df._doctor_rights();
    return query select * from df._doctor_workers();
    return query select * from df._doctor_queue();
    return query select * from df._doctor_space();
    return query select * from df._doctor_counters();
end
$$;
comment on function df.doctor() is 'what is well and what is not: every check with its level (ok, warn, bad), what was found, and what to do; for the owner of df and operators';
