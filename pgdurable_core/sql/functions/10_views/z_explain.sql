-- explain: an instance, step by step, or a workflow's plan, as text for a person at a terminal.
create or replace function df.explain(input text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    i df.instances;
    w df.workflows;
    r record;
    v_out text[] := '{}';
begin
    if input ~ '^[0-9a-f]{4,12}$' then
        select x.* into i from df.instances x where x.instance_id >= input and x.instance_id < input || 'g' limit 1;
    end if;
    if i.instance_id is not null then
        v_out := v_out || format('%s v%s  %s  %s%s', i.workflow, i.version, i.instance_id, i.status, case when i.is_cancelling then ' (being cancelled)' else '' end);
        v_out := v_out || format('run_id %s  started by %s as %s%s', i.run_id, i.actor, i.submitted_by, coalesce('  because ' || i.reason, ''));
        for r in
            select s.*, (select string_agg(u, ', ') from unnest(s.after) u where not exists (
                    select from df.steps o where o.instance_id = s.instance_id and o.key = u and not o.is_item
                        and o.status in ('completed', 'skipped', 'failed', 'upstream_failed', 'removed'))) as waits_for
            from df.steps s where s.instance_id = i.instance_id order by s.step, s.map_index nulls first
        loop
            v_out := v_out || rtrim(format('  %-15s %-30s %-8s %s', r.status, r.key || coalesce('[' || r.map_index || ']', ''), r.kind,
                concat_ws('  ',
                    case when r.status = 'waiting' then coalesce('waits for ' || r.waits_for, 'rule ' || r.rule) end,
                    case when r.attempt > 1 or (r.status in ('retrying', 'failed') and r.attempt > 0) then format('attempt %s of %s', r.attempt, r.max_attempts) end,
                    case when r.status = 'retrying' then format('again at %s', to_char(r.due_at, 'HH24:MI:SS')) end,
                    case when r.status = 'running' then format('pid %s since %s', coalesce(r.pid::text, '?'), to_char(r.started_at, 'HH24:MI:SS')) end,
                    case when r.status = 'completed' and r.row_count is not null then format('%s row%s', r.row_count, case when r.row_count = 1 then '' else 's' end) end,
                    case when r.is_suspect then 'suspect: runs alone' end,
                    r.reason, r.error ->> 'sqlstate', r.error ->> 'message', r.source)));
        end loop;
        return array_to_string(v_out, E'\n');
    end if;
    select x.* into w from df.workflows x where x.name = input order by x.namespace = 'default' desc limit 1;
    if w.name is null then
        raise exception 'there is no instance or workflow %', quote_literal(input) using errcode = 'PD404';
    end if;
    v_out := v_out || format('%s v%s%s%s', w.name, w.version, case when w.is_paused then ', paused' else '' end, coalesce(', ' || w.schedule || ' ' || w.timezone, ''));
    for r in
        select s.value ->> 'key' as key, coalesce(p.statement_class, p.kind) as class, p.rule, s.value ->> 'source' as source,
            array_to_string(array(select jsonb_array_elements_text(s.value -> 'after')), ', ') as after, s.value ->> 'each' as each
        from jsonb_array_elements(w.document -> 'steps') with ordinality s(value, pos)
        left join df._step_facts p on p.namespace = w.namespace and p.name = w.name and p.key = s.value ->> 'key'
        order by s.pos
    loop
        v_out := v_out || rtrim(format('  %-30s %-10s %s', r.key || case when r.each is not null then '[]' else '' end, r.class,
            concat_ws('  ', 'after ' || nullif(r.after, ''), 'each ' || r.each, nullif(r.rule, 'all_success'), r.source)));
    end loop;
    return array_to_string(v_out, E'\n');
end
$$;
comment on function df.explain(text) is 'an instance step by step, or a workflow with the statement class of each step';
