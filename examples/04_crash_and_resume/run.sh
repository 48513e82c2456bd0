#!/bin/sh
# Kill what runs a workflow, three times, and see every effect once. The server is private and gone at the end.
set -eu
cd "$(dirname "$0")"
PGDURABLE_HOME="$(mktemp -d)"
export PGDURABLE_HOME
worker=
end() {
    test -z "$worker" || kill -9 "$worker" 2>/dev/null || true
    pgdurable db stop >/dev/null 2>&1 || true
    rm -rf "$PGDURABLE_HOME"
}
trap end EXIT

sql() { pgdurable db psql -- -X -q -At -v ON_ERROR_STOP=1 "$@"; }
start_worker() { pgdurable worker >/dev/null 2>&1 & worker=$!; }
# Waits in the server, so that no time is lost between the line and the kill.
wait_for() { sql -c "do \$\$ begin while (select count(*) from ledger) < $1 loop perform pg_sleep(0.02); end loop; end \$\$"; }
far() { echo "          $(sql -c "select count(*) || ' lines, ' || count(*) - count(distinct (lane, line)) || ' twice' from ledger")"; }

pgdurable db start >/dev/null 2>&1
pgdurable schema sql | sql -o /dev/null
sql -f workflow.sql
id="$(pgdurable start relay 2>/dev/null)"

start_worker
wait_for 6
kill -9 "$worker"
wait "$worker" 2>/dev/null || true
echo "Killed    the worker (SIGKILL)"
far

start_worker
wait_for 18
sql -o /dev/null -c "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and pid <> pg_backend_pid() limit 1"
echo "Killed    a backend in the middle of a step (pg_terminate_backend)"
far

wait_for 36
kill -QUIT "$(head -1 "$(find "$PGDURABLE_HOME" -name postmaster.pid)")"
kill -9 "$worker"
wait "$worker" 2>/dev/null || true
worker=
echo "Killed    the server, as a crash would (immediate shutdown), and the worker with it"
pgdurable db start >/dev/null 2>&1
far

pgdurable worker --until-idle >/dev/null 2>&1
echo
echo "The end"
sql -F ' ' -c "select 'instance ', status from df.instances where instance_id = '$id'" \
    -c "select 'steps    ', count(*), status from df.steps where instance_id = '$id' group by status" \
    -c "select 'ledger   ', count(*), 'lines,', count(distinct (lane, line)), 'different' from ledger" \
    -c "select 'lane', lane, 'lines', min(line), 'to', max(line), case when array_agg(line order by at) = array_agg(line order by line) then 'in order' end
        from ledger group by lane order by lane"
