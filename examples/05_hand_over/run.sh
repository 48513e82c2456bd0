#!/bin/sh
# Run the DAG once with the Airflow that is installed, against a private PostgreSQL with a worker. Twice does the same.
set -eu
cd "$(dirname "$0")"

pgdurable init
pgdurable db psql -- -q -f seed.sql

home="$(mktemp -d)"
pgdurable worker > "$home/worker.log" 2>&1 &
worker=$!
trap 'kill "$worker"; wait "$worker" || true; rm -rf "$home"' EXIT

# host=... of the private server: a folder with its socket. Elsewhere: pgdurable://login:password@host:5432/database
socket="$(pgdurable db status | sed "s/.*host='*\([^' ]*\).*/\1/")"
export AIRFLOW_CONN_PGDURABLE_DEFAULT="pgdurable://pgdurable@/pgdurable?host=$socket"
export AIRFLOW_HOME="$home" AIRFLOW__CORE__DAGS_FOLDER="$PWD/dags" AIRFLOW__CORE__LOAD_EXAMPLES=False
export PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore

airflow db migrate > "$home/airflow.log" 2>&1
airflow dags test hand_over 2026-11-21 > "$home/airflow.log" 2>&1 || { cat "$home/airflow.log"; exit 1; }

echo "Airflow says"
sed -n -e 's/.*\[info *\] \(.*[^ ]\) *\[airflow\.task\.operators\.pgdurable.*/  \1/p' \
    -e 's/.*\(report: [^[]*[^[ ]\).*/  \1/p' "$home/airflow.log"

echo "The engine says"
pgdurable explain "$(sed -n 's/.*instance \([0-9a-f]\{12\}\) of workflow.*/\1/p' "$home/airflow.log" | head -n 1)"
