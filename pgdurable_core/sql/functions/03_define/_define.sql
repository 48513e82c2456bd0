-- _define: take a workflow definition in, as a new version when it differs from the current one.
--
-- Returns what happened, for people: "orders_daily v2 changed, paused".
-- Locks   the workflow row, against other deployments only; no engine write needs it.
-- Raises  PD400 with every problem of the document, and of the texts and edges in what is sound of it; PD403 when the
-- workflow is another's.
create or replace function df._define(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    v_doc jsonb := p_args -> 'document';
    v_namespace text := coalesce(p_args ->> 'namespace', 'default');
    v_name text := v_doc ->> 'name';
    v_problems text[];
    v_sound jsonb;
    v_zone text;
    v_detail text;
    v_hash bytea;
    v_plan bigint;
    w df._workflows;
    v_old bytea;
    v_start timestamptz;
    v_end timestamptz;
begin
    v_doc := df._without_nulls(v_doc);
    if jsonb_path_exists(v_doc, 'lax $.steps[*].* ? (@ == null)') then
        v_doc := v_doc || jsonb_build_object('steps', (select jsonb_agg(df._without_nulls(s.v) order by s.pos)
            from jsonb_array_elements(v_doc -> 'steps') with ordinality s(v, pos)));
    end if;
    v_problems := df._check_document(v_doc);
    v_zone := case when format('unknown timezone %s', v_doc ->> 'timezone') = any(v_problems) then 'UTC' else coalesce(v_doc ->> 'timezone', 'UTC') end;
    begin
        v_start := df._in_zone(v_doc ->> 'start_date', v_zone, 'start_date');
    exception when sqlstate 'PD400' then
        v_problems := v_problems || sqlerrm;
    end;
    begin
        v_end := df._in_zone(v_doc ->> 'end_date', v_zone, 'end_date');
    exception when sqlstate 'PD400' then
        v_problems := v_problems || sqlerrm;
    end;
    if v_problems <> '{}' then
        v_sound := df._sound_document(v_doc);
        begin
            perform df._compile_plan(v_sound) where v_sound is not null;
        exception when sqlstate 'PD400' or sqlstate 'PD404' or sqlstate 'PD501' then
            get stacked diagnostics v_detail = pg_exception_detail;
            v_problems := v_problems || string_to_array(v_detail, E'\n');
        end;
        raise exception '%: % problem%: %', coalesce(v_name, 'the workflow'), cardinality(v_problems),
            case when cardinality(v_problems) > 1 then 's' else '' end, v_problems[1]
            using errcode = 'PD400', detail = array_to_string(v_problems, E'\n');
    end if;
    if not exists (select from df._namespaces n where n.namespace = v_namespace) then
        insert into df._namespaces (namespace) values (v_namespace) on conflict do nothing;
    end if;
    v_doc := (select jsonb_object_agg(d.key, d.value) from jsonb_each(v_doc) d where d.value <> 'null');
    v_hash := sha256(convert_to((v_doc - 'doc' - 'owner' - 'tags' - 'groups' || jsonb_build_object('steps',
        (select jsonb_agg(s.v - 'source' - 'doc' order by s.pos) from jsonb_array_elements(v_doc -> 'steps') with ordinality s(v, pos))))::text, 'UTF8'));

    insert into df._workflows (namespace, name, is_paused, created_by)
    values (v_namespace, v_name, v_doc ->> 'schedule' is not null, p_caller)
    on conflict (namespace, name) do nothing;
    select * into w from df._workflows x where x.namespace = v_namespace and x.name = v_name for update;
    -- an operator may start and stop it, not write what runs as its owner
    if not df._may_be(p_caller, w.created_by) and p_caller <> (select n.nspowner from pg_namespace n where n.nspname = 'df') then
        raise exception 'workflow % belongs to %', v_name, w.created_by using errcode = 'PD403',
            hint = 'Choose another name or namespace, or ask its owner.';
    end if;
    select v.hash into v_old from df._workflow_versions v where v.workflow_id = w.workflow_id and v.version = w.version;
    if v_old = v_hash then
        update df._workflow_versions v set document = v_doc, sources = df._by_key(v_doc, 'source'), docs = df._by_key(v_doc, 'doc')
        where v.workflow_id = w.workflow_id and v.version = w.version and v.document <> v_doc;
        return format('%s v%s unchanged', v_name, w.version);
    end if;
    v_plan := df._store_plan(v_doc, w.created_by);
    w.version := w.version + 1;
    insert into df._workflow_versions (workflow_id, version, plan_id, hash, namespace, document, sources, docs, schedule, timezone,
        start_date, end_date, submitted_by, actor, reason, traceparent)
    values (w.workflow_id, w.version, v_plan, v_hash, v_namespace, v_doc, df._by_key(v_doc, 'source'), df._by_key(v_doc, 'doc'),
        v_doc ->> 'schedule', coalesce(v_doc ->> 'timezone', 'UTC'), v_start, v_end, p_caller,
        p_args ->> 'actor', p_args ->> 'reason', p_args ->> 'traceparent');
    update df._workflows x set version = w.version where x.workflow_id = w.workflow_id;
    update df._modules m set unused_since = null
    where m.unused_since is not null and v_doc -> 'modules' ->> m.name = 'sha256:' || m.sha256;
    insert into df._events (workflow_id, kind, actor, submitted_by, reason, traceparent, detail)
    values (w.workflow_id, case when w.version = 1 then 'workflow_created' else 'workflow_changed' end, p_args ->> 'actor', p_caller,
        p_args ->> 'reason', p_args ->> 'traceparent', jsonb_build_object('version', w.version));
    return format('%s v%s %s%s', v_name, w.version, case when w.version = 1 then 'created' else 'changed' end,
        case when w.is_paused then ', paused' else '' end);
end
$$;
