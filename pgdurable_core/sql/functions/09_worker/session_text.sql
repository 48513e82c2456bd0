-- session_text: the statements of a session-class step with every name put in, for the role that runs it.
create or replace function df.session_text(instance_id text, scope_id bigint, step integer, token bigint) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    j record;
    v_context jsonb;
    v_text text;
    b jsonb;
    v_index integer;
    v_item jsonb;
begin
    select * into j from df._jobs x where x.instance_id = $1 and x.scope_id = $2 and x.step = $3 and x.token = $4;
    if not found then
        raise exception 'step % of % is not claimed for %', $3, $1, current_user using errcode = 'PD403';
    end if;
    if j.parts is null then
        return j.texts;
    end if;
    if $2 <> 0 then
        select x.map_index, x.item into v_index, v_item from df._map_items x where x.instance_id = $1 and x.scope_id = $2;
    end if;
    v_context := df._context(j.logical_date, j.data_interval_start, j.data_interval_end, j.run_id, j.workflow, j.key, $1, j.try_number, v_index, $2);
    for b in select x.e from jsonb_array_elements(coalesce(j.binds, '[]')) x(e) loop
        execute concat('select (', df._render(b -> 'parts', v_context, j.params, v_item, $1, j.plan_id), ')::text from df._context_row($1, $2, $3)')
        into v_text using v_context, j.params, v_item;
        v_context := jsonb_set(v_context, array[b ->> 'name'], coalesce(to_jsonb(v_text), 'null'));
    end loop;
    return array(select df._render(p.v, v_context, j.params, v_item, $1, j.plan_id) from jsonb_array_elements(j.parts) with ordinality p(v, pos) order by p.pos);
end
$$;
comment on function df.session_text(text, bigint, integer, bigint) is 'the statements of a claimed session step, for the role it runs as';
