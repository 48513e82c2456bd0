-- work: claim and run steps until idle or out of time. One transaction per turn.
--
-- A procedure that commits cannot have a SET clause: between its commits it names everything with its schema,
-- and holds no operator and no table (a subscript and IS NULL are neither).
create or replace procedure df.work(
    in max_seconds numeric default 30,
    in idle_seconds numeric default 0,
    in worker bigint default null,
    inout pos text default null,
    inout done bigint default 0
)
language plpgsql
as $$
declare
    w text[];
    a text[];
    since pg_catalog.timestamptz;
    refusal text;
    void text;      -- an assignment spares the executor that PERFORM would start
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    begin
        commit;     -- always refused here, in other words where no commit is possible at all
    exception when invalid_transaction_termination then
        get stacked diagnostics refusal = message_text;
    end;
    perform df._need_commits(refusal);
    perform df._watch_client();
    since := df._own_since();
    w := df._enter(max_seconds, idle_seconds, worker, pos, df._backend_start());
    done := 0;
    loop
        if w[41] is not null then
            unlisten *;     -- before the commit, which would make it so
        end if;
        commit;
        set transaction isolation level read committed, read write;
        if w[41] is not null then
            void := df._clean(since);
        end if;
        w := df._turn(w);
        exit when w[1] is null;
        if w[42] is not null then
            a := w[42];
            loop        -- a chain: each step was claimed by the commit of the one before
                unlisten *;
                commit;
                set transaction isolation level read committed, read write;
                void := df._clean(since);
                a := df._ahead(a);
                exit when a[1] operator(pg_catalog.=) 'redo';
                done := done operator(pg_catalog.+) 1;
                exit when a[1] is null;
                exit when a[1] operator(pg_catalog.<>) 'ahead';
            end loop;
            w[42] := a;
        end if;
    end loop;
    commit;
    set transaction isolation level read committed, read write;
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    pos := df._leave(w);
    done := done operator(pg_catalog.+) w[21]::pg_catalog.int8;
end
$$;
comment on procedure df.work(numeric, numeric, bigint, text, bigint) is
    'claim and run SQL steps until nothing is left for idle_seconds, or for max_seconds; run it alone, in autocommit';
