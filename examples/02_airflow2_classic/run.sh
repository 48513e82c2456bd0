#!/bin/sh
# Import the DAG with the Airflow that is installed and run it once in a private PostgreSQL. Twice does the same.
set -eu
cd "$(dirname "$0")"
exec pgdurable import airflow dags/sales_reporting.py --as-of 2021-11-22 --run --date 2021-11-21 "$@"
