-- _ask: have the engine act for the calling role. SECURITY INVOKER on purpose.
create or replace function df._ask(p_verb text, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into df._calls (verb, args) values (p_verb, jsonb_build_object(
        'actor', coalesce(nullif(current_setting('df.actor', true), ''), current_user::text),
        'traceparent', nullif(current_setting('df.traceparent', true), '')) || p_args);
    return nullif(current_setting('df.answer'), '');
end
$$;
