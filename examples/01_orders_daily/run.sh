#!/bin/sh
# Import the DAG and run it once in a private PostgreSQL. Twice does the same.
set -eu
cd "$(dirname "$0")"
exec pgdurable import airflow dags/orders_daily.py --run
