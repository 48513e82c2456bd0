-- _by_key: {step key: value of one field} of a document's steps.
create or replace function df._by_key(p_document jsonb, p_field text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(s.v ->> 'key', s.v -> p_field), '{}')
    from jsonb_array_elements(p_document -> 'steps') s(v) where s.v ->> p_field is not null
$$;
