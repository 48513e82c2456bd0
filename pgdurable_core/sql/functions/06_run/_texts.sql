-- _texts: the statements of a claimed step with every name put in, for the role that runs it.
--
-- SECURITY INVOKER: bind expressions are the author's, and are evaluated as the step's role under its own
-- search path; everything around them is qualified.
create or replace function df._texts(p_instance text, p_scope bigint, p_step integer, p_token bigint) returns text[]
language plpgsql
as $$
declare
    j record;
    v_context pg_catalog.jsonb;
    v_text pg_catalog.text;
    v_index pg_catalog.int4;
    v_item pg_catalog.jsonb;
    v_out pg_catalog._text := '{}';
    b pg_catalog.jsonb;
begin
    select * into j from df._jobs x
    where x.instance_id operator(pg_catalog.=) p_instance and x.scope_id operator(pg_catalog.=) p_scope
      and x.step operator(pg_catalog.=) p_step and x.token operator(pg_catalog.=) p_token;
    if not found then
        raise exception 'step % of % is not claimed for %', p_step, p_instance, current_user using errcode = 'PD403';
    end if;
    if j.parts is null then
        return j.texts;
    end if;
    -- quotes were told apart by these rules when the names were found; whoever runs the texts must read them so too
    v_text := pg_catalog.set_config('standard_conforming_strings', 'on', true);
    if p_scope operator(pg_catalog.<>) 0 then
        select x.map_index, x.item into v_index, v_item from df._map_items x
        where x.instance_id operator(pg_catalog.=) p_instance and x.scope_id operator(pg_catalog.=) p_scope;
    end if;
    v_context := df._context(j.logical_date, j.data_interval_start, j.data_interval_end, j.run_id, j.workflow, j.key,
        p_instance, j.try_number, v_index, p_scope);
    for b in select x.e from pg_catalog.jsonb_array_elements(coalesce(j.binds, '[]')) x(e) loop
        execute pg_catalog.concat('select (', df._render(b operator(pg_catalog.->) 'parts', v_context, j.params, v_item, p_instance, j.plan_id),
            ')::pg_catalog.text from df._context_row($1, $2, $3)') into v_text using v_context, j.params, v_item;
        v_context := pg_catalog.jsonb_set(v_context, array[b operator(pg_catalog.->>) 'name'], coalesce(pg_catalog.to_jsonb(v_text), 'null'));
    end loop;
    for b in select x.e from pg_catalog.jsonb_array_elements(j.parts) x(e) loop
        v_text := df._render(b, v_context, j.params, v_item, p_instance, j.plan_id);
        v_out := pg_catalog.array_append(v_out, v_text);
    end loop;
    return v_out;
end
$$;
