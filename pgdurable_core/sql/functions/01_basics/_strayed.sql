-- _strayed: how this database differs from the one that the engine was put into, in words, or null when it is that one.
--
-- A clone has another number, a restored dump another server or another df._engine. What keeps all three is not seen:
-- a promoted standby, a base backup, a snapshot of the disk.
create or replace function df._strayed() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    e record;
    v_oid oid;
    v_identifier text;
begin
    select g.database_oid, g.system_identifier, h.engine_oid into e from df._engine g cross join df._home h;
    select d.oid into v_oid from pg_database d where d.datname = current_database();
    if e.system_identifier is not null and has_function_privilege('pg_control_system()', 'execute') then
        select c.system_identifier::text into v_identifier from pg_control_system() c;
        if v_identifier <> e.system_identifier then
            return format('it was made on server %s, this is server %s', e.system_identifier, v_identifier);
        end if;
    end if;
    if v_oid <> e.database_oid then
        return format('it was made in database number %s, this is number %s', e.database_oid, v_oid);
    elsif 'df._engine'::regclass::oid <> e.engine_oid then
        return 'it was restored from a dump';
    end if;
    return null;
end
$$;
