-- session_text: the statements of a session-class step with every name put in, for the role that runs it.
create or replace function df.session_text(instance_id text, scope_id bigint, step integer, token bigint) returns text[]
language sql
as $$ select df._texts($1, $2, $3, $4) $$;
comment on function df.session_text(text, bigint, integer, bigint) is 'the statements of a claimed session step, for the role it runs as';
