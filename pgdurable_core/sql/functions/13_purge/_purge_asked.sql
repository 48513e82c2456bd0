-- _purge_asked: what a call of df.purge or df.purgeable asks for, checked: how long, of which workflow or namespace.
--
-- Raises  PD404 no such workflow; PD400 nothing says how long anything is kept.
create or replace function df._purge_asked(p_args jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_workflow bigint;
    v_name text := p_args ->> 'workflow';
    v_namespace text := p_args ->> 'namespace';
begin
    if (p_args ->> 'older_than')::interval < interval '0' or (p_args ->> 'keep_keys')::interval < interval '0' then
        raise exception 'what ends in the future cannot be purged' using errcode = 'PD400', hint = 'An interval of zero or more.';
    elsif p_args ->> 'older_than' is null and not exists (select from df._retention) then
        raise exception 'nothing says how long finished instances are kept' using errcode = 'PD400',
            hint = 'call df.purge(older_than => ''30 days''), or select df.set_retention(''30 days'') once.';
    elsif (p_args ->> 'batch')::integer not between 1 and 10000 then
        raise exception 'batch % is not between 1 and 10000', p_args ->> 'batch' using errcode = 'PD400';
    end if;
    if v_name is not null then
        v_namespace := coalesce(v_namespace, nullif(current_setting('df.namespace', true), ''), 'default');
        select w.workflow_id into v_workflow from df._workflows w where w.namespace = v_namespace and w.name = v_name;
        if not found then
            raise exception 'there is no workflow % in namespace %', quote_literal(v_name), v_namespace using errcode = 'PD404';
        end if;
    end if;
    return jsonb_strip_nulls(jsonb_build_object('older_than', p_args ->> 'older_than', 'keep_keys', p_args ->> 'keep_keys',
        'batch', (p_args ->> 'batch')::integer, 'only', v_workflow, 'namespace', v_namespace));
end
$$;
