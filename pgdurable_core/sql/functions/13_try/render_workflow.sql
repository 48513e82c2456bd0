-- render_workflow: what the steps of a workflow would execute for a date and these parameters, without a run.
--
-- SECURITY INVOKER on purpose, and it never changes the role: binds are the author's SQL, and are evaluated only for
-- the step's role, logged in. For anybody else their names stay open and `problem` says who can see them. The rights
-- that a start would ask for are asked for here too: a grant that was taken back must not let an author's text run as
-- the role it was about. Nothing is written; what binds do is undone (sequences and other servers are not).
--
-- Raises  PD404 no such workflow, or step of it, that this role sees; PD400 params.
create or replace function df.render_workflow(
    name text,
    step text default null,
    logical_date timestamptz default null,
    params jsonb default '{}',
    namespace text default coalesce(nullif(current_setting('df.namespace', true), ''), 'default')
) returns table (key text, statement integer, kind text, class text, each text, role text, source text, text text, detail jsonb,
    open_names text[], problem text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    s record;
    k record;
    v_params jsonb;
    v_context jsonb;
    v_is_mapped boolean;
    v_closed text;
    v_problems text[];
    v_names jsonb;
    i integer;
begin
    if not exists (select from df._step_texts t where t.namespace = $5 and t.name = $1) then
        raise exception 'there is no workflow % in namespace % that % sees', coalesce(quote_literal($1), 'null'), $5, current_user using errcode = 'PD404',
            hint = coalesce('Known: ' || (select string_agg(x.name, ', ') from (
                select distinct t.name from df._step_texts t where t.namespace = $5 order by 1 limit 8) x), 'None is there yet: pgdurable deploy FILE.');
    end if;
    if $2 is not null and not exists (select from df._step_texts t where t.namespace = $5 and t.name = $1 and t.key = $2) then
        raise exception 'workflow % has no step %', $1, quote_literal($2) using errcode = 'PD404',
            hint = 'Its steps: ' || (select string_agg(t.key, ', ' order by t.step) from df._step_texts t where t.namespace = $5 and t.name = $1);
    end if;
    for s in select t.* from df._step_texts t where t.namespace = $5 and t.name = $1 and ($2 is null or t.key = $2) order by t.step loop
        v_params := coalesce(v_params, df._check_params(s.params, $4));
        v_is_mapped := s.each is not null;
        v_context := df._context($3, $3, $3, null, s.name, s.key, null, null, null, 0);
        if v_is_mapped then
            v_context := v_context - 'map_index';
        end if;
        key := s.key;
        kind := s.kind;
        class := s.statement_class;
        each := s.each;
        role := case when not s.lacks_connection then s.role::text end;
        source := s.source;
        statement := 1;
        text := null;
        detail := null;
        open_names := '{}';
        v_problems := case
            when s.lacks_connection then array[format('connection %s is not known in this database', s.connection)]
            when not df._may_be(s.created_by, s.role) then array[format('%s may not run steps as %s', s.created_by, s.role)]
            else '{}' end;
        if s.kind = 'python' then
            text := df._fill_known((s.run -> 'args')::json, v_context, v_params, v_is_mapped)::text;
            detail := s.run - 'kind' - 'args';
            open_names := df._open_names(s.run -> 'args', v_context, v_is_mapped);
        elsif s.kind = 'shell' then
            text := df._fill_text(s.run ->> 'command', v_context);
            detail := jsonb_strip_nulls(jsonb_build_object('cwd', df._fill_text(s.run ->> 'cwd', v_context), 'append_env', s.run -> 'append_env',
                'env', df._fill_known((s.run -> 'env')::json, v_context, v_params, v_is_mapped)));
            v_names := jsonb_build_array(s.run -> 'command', s.run -> 'cwd', s.run -> 'env');
            open_names := df._open_names(v_names, v_context, v_is_mapped);
        elsif s.kind in ('sql', 'check', 'branch') and s.binds is not null then
            v_closed := case
                when v_problems <> '{}' then 'it is not evaluated for that'
                when s.role = df._me() and session_user = current_user then null
                when s.role = df._me() then format('it is evaluated for whoever is logged in as %s, not under SET ROLE or in a definer function', s.role)
                when s.role = s.created_by then format('it is evaluated as %s alone; connect as that role', s.role)
                else format('it is evaluated as %s alone, and only the owner of the workflow, an operator or the owner of df sees it', s.role) end;
            k := df._bind_values(s.binds, v_context, v_params, v_is_mapped, case when v_closed is null then df._role_settings(s.role) end, v_closed);
            v_context := k.context;
            v_problems := v_problems || k.problems;
        end if;
        problem := nullif(array_to_string(v_problems, '; '), '');
        if s.kind not in ('sql', 'check', 'branch') then
            statement := case when text is not null then 1 end;
            return next;
            continue;
        end if;
        for i in 1..cardinality(s.texts) loop
            statement := i;
            text := s.texts[i];
            open_names := '{}';
            if s.parts is not null then
                k := df._known_parts(s.parts -> (i - 1), v_context, v_is_mapped);
                text := df._render(k.parts, v_context, v_params, null, null, null);
                open_names := k.open_names;
            end if;
            return next;
        end loop;
    end loop;
end
$$;
comment on function df.render_workflow(text, text, timestamptz, jsonb, text) is
    'what every step would execute for a date and parameters, without a run; names that only a run knows stay, and are listed';
