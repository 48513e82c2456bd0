-- purge: let finished instances go, and what belongs to nobody afterwards. One transaction per batch.
--
-- Interrupted or killed at any moment, it has done what it committed; the next call goes on. As df.work it can have no
-- SET clause, names everything with its schema, and holds no operator and no table.
create or replace procedure df.purge(
    in older_than interval default null,
    in workflow text default null,
    in namespace text default null,
    in keep_keys interval default null,
    in batch integer default 500,
    in max_seconds numeric default 60,
    inout gone jsonb default null
)
language plpgsql
as $$
declare
    state text;
begin
    loop
        commit;
        set transaction isolation level read committed, read write;
        perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        state := df._ask('purge', pg_catalog.jsonb_build_object('older_than', older_than, 'workflow', workflow, 'namespace', namespace,
            'keep_keys', keep_keys, 'batch', batch, 'max_seconds', max_seconds, 'state', state));
        exit when pg_catalog.jsonb_extract_path(state::pg_catalog.jsonb, 'ends') is not null;
    end loop;
    gone := df._purge_answer(state);
end
$$;
comment on procedure df.purge(interval, text, text, interval, integer, numeric, jsonb) is
    'remove finished instances older than this (or than df.set_retention says) with all their rows, batch by batch, for at most max_seconds; run it alone, in autocommit';
