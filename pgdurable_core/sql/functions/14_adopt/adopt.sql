-- adopt: say what a copy of a database is: the real one from now on (move), or one beside it (copy).
--
-- One transaction. On a database that is no copy as far as can be seen, a move is its name alone; a copy (a promoted
-- standby, a base backup: they cannot be told) ends what is open, and is refused while somebody works there.
--
-- Raises  PD403 for all but the owner of df; PD400; PD409 while sessions or workers live in a database that is no copy.
create or replace function df.adopt(environment text default null, what text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_name constant text := $1;
    v_what constant text := $2;
    v_why constant text := df._strayed();
    v_was text;
    v_actor constant text := coalesce(nullif(current_setting('df.actor', true), ''), current_user::text);
    v_identifier text;
    v_roles integer := 0;
    v_ended integer := 0;
    v_requeued integer := 0;
begin
    if df._me() <> (select n.nspowner from pg_namespace n where n.nspname = 'df') then
        raise exception 'only the owner of schema df says what its database is' using errcode = 'PD403';
    elsif v_what is null or v_what not in ('move', 'copy') then
        raise exception 'a database is adopted as a move or as a copy' using errcode = 'PD400',
            hint = 'select df.adopt(''name'', what => ''move''): it takes the other''s place, what is open goes on here. '
                'what => ''copy'': it stands beside the other, what is open in it is cancelled.';
    end if;
    perform pg_advisory_xact_lock(1885824102);      -- one installation, upgrade or adoption at a time
    perform from df._recovery r for no key update;
    select e.environment into v_was from df._engine e for no key update;
    if v_why is null and v_what = 'copy' and (
        exists (select from df._workers w where w.lease_until > clock_timestamp())
        or exists (select from df._sessions s join pg_stat_activity a on a.pid = s.pid and (a.backend_start is null or a.backend_start = s.backend_start)
            where s.postmaster_started = pg_postmaster_start_time() and a.datname = current_database())) then
        raise exception 'somebody works in this database, and nothing shows that it is a copy' using errcode = 'PD409',
            hint = 'Stop its workers first.';
    end if;
    if v_why is not null then
        v_roles := df._restore_roles();
        if v_what = 'copy' then
            v_ended := df._cancel_all(v_actor, 'adopted as a copy');
        end if;
        select count(*) into v_requeued from df._steps s where s.state in ('ready', 'running');
        perform df._requeue_all();
    end if;
    if v_what = 'copy' then
        -- what ran is ready again by now
        v_ended := v_ended + df._cancel_all(v_actor, 'adopted as a copy');
        v_requeued := 0;
    end if;
    if has_function_privilege('pg_control_system()', 'execute') then
        select c.system_identifier::text into v_identifier from pg_control_system() c;
    end if;
    update df._home h set engine_oid = 'df._engine'::regclass where h.engine_oid <> 'df._engine'::regclass;
    update df._engine e
    set system_identifier = v_identifier, database_oid = (select d.oid from pg_database d where d.datname = current_database()),
        environment = coalesce(v_name, e.environment), adopted_at = clock_timestamp(), adopted_by = v_actor,
        endpoint = case when v_why is null then e.endpoint end, draining = case when v_why is null then e.draining else false end;
    insert into df._events (kind, actor, submitted_by, detail)
    values ('adopted', v_actor, df._me(), jsonb_strip_nulls(jsonb_build_object('what', v_what, 'was', v_was, 'why', v_why, 'cancelled', v_ended, 'queued', v_requeued)));
    return concat_ws(', ', case when v_what = 'move' then 'this is ' || coalesce(v_name, v_was, 'the database') || ' now'
            else 'this is a copy of ' || coalesce(v_was, 'another database') || coalesce(' named ' || v_name, '') end,
        case when v_why is null and v_what = 'move' then 'which it was before' end,
        case when v_requeued > 0 then v_requeued || ' steps queued again' end,
        case when v_ended > 0 then v_ended || ' open instances cancelled' end,
        case when v_roles > 0 then v_roles || ' runners made again' end);
end
$$;
comment on function df.adopt(text, text) is
    'say what a copied database is: move (the real one from now on; what is open goes on) or copy (beside the original; what is open is cancelled); workers refuse it until then';
