-- _requeue_all: forget who worked on the other database, take back what they held, and queue everything that is ready
-- anew: transaction numbers may have begun again, and no position of any session is worth anything.
--
-- What ran counts as lost with its server: nobody is suspected, and no try is charged.
create or replace function df._requeue_all() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update df._sessions s set postmaster_started = '-infinity';
    update df._workers w set lease_until = '-infinity';
    perform df._recover_workers(w.worker_id) from df._workers w;
    perform df._tick_recover();
    delete from df._workers;
    delete from df._sleepers;
    delete from df._stops;
    delete from df._positions;
    with queued as (
        select s.instance_id, s.scope_id, s.step from df._steps s where s.state = 'ready' order by s.enq, s.seq
    ), numbered as (
        select q.*, nextval('df._queue_seq') as seq from queued q
    )
    update df._steps s set enq = pg_current_xact_id(), seq = n.seq from numbered n
    where s.instance_id = n.instance_id and s.scope_id = n.scope_id and s.step = n.step;
    update df._commands c set enq = pg_current_xact_id();
    update df._engine e set epoch = e.epoch + 1, crash_horizon = pg_snapshot_xmax(pg_current_snapshot()), solo_token = null, solo_session = null;
end
$$;
