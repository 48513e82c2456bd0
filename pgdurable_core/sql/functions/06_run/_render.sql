-- _render: one statement's parts as text. A value put in is never scanned again.
--
-- Raises  PD404 when $step.col has no row to read; PD413 when $step.* has more than 10,000.
create or replace function df._render(p_parts jsonb, p_context jsonb, p_params jsonb, p_item jsonb, p_instance text, p_plan bigint)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_out text := '';
    p jsonb;
    v json;
    v_row json;
begin
    for p in select jsonb_array_elements(p_parts) loop
        if jsonb_typeof(p) = 'string' then
            v_out := v_out || (p #>> '{}');
        elsif p ? 'raw' then
            if not p_context ? (p ->> 'raw') then
                raise exception '{%} has no value in this run', p ->> 'raw' using errcode = 'PD404',
                    hint = 'Start the run with a logical_date.';
            end if;
            v_out := v_out || coalesce(p_context ->> (p ->> 'raw'), '');
        elsif p ? 'param' then
            v_out := v_out || df._quote(case when p -> 'param' = 'null' then p_params else p_params -> (p ->> 'param') end);
        elsif p ? 'item' then
            v_out := v_out || df._quote(case when p -> 'item' = 'null' then p_item else p_item -> (p ->> 'item') end);
        else
            v := df._rows_of(p_instance, p_plan, (p -> 'step')::integer);
            if p ? 'all' then
                v_out := v_out || df._values(v, p ->> 'name');
            else
                v_row := case when json_typeof(v) = 'array' then v -> 0 when json_typeof(v) = 'object' then v
                    when v is not null and json_typeof(v) <> 'null' then json_build_object('value', v) end;
                if v_row is null then
                    if not p ? 'opt' then
                        raise exception '$% has no rows', (p ->> 'name') || coalesce('.' || (p ->> 'col'), '') using errcode = 'PD404',
                            hint = format('Write $%s? for NULL instead.', (p ->> 'name') || coalesce('.' || (p ->> 'col'), ''));
                    end if;
                    v_out := v_out || 'NULL';
                elsif p ? 'col' then
                    if v_row -> (p ->> 'col') is null and not p ? 'opt' then
                        raise exception '$%: the result has no column %', p ->> 'name', p ->> 'col' using errcode = 'PD404';
                    end if;
                    v_out := v_out || df._quote((v_row -> (p ->> 'col'))::jsonb);
                else
                    v_out := v_out || df._quote((select x.value::jsonb from json_each(v_row) x limit 1));
                end if;
            end if;
        end if;
    end loop;
    return v_out;
end
$$;
