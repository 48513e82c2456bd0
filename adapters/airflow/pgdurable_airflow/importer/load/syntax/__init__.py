"""DAG files read by their syntax: nothing of them runs, and Airflow is not there.

`machine` follows the statements of a file as Python would and keeps values it knows as themselves and all others as
`Unknown`, with the line that made them so. `airflow.json` holds what Airflow's own classes look like.
"""
