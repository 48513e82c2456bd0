"""What runs inside Airflow: an operator that hands work to the engine, its hook and its trigger.

This module is read by Airflow's providers manager, and imports nothing of Airflow itself.
"""

from __future__ import annotations

from typing import Any

PACKAGE = __name__


def get_provider_info() -> dict[str, Any]:
    """Return what Airflow's entry point `apache_airflow_provider` asks for (Airflow's provider_info.schema.json)."""
    integration = "PgDurable"
    return {
        "package-name": "pgdurable",
        "name": integration,
        "description": "Durable workflows inside PostgreSQL, started and awaited by Airflow.",
        "integrations": [{"integration-name": integration, "tags": ["software"]}],
        "operators": [{"integration-name": integration, "python-modules": [f"{PACKAGE}.operators"]}],
        "hooks": [{"integration-name": integration, "python-modules": [f"{PACKAGE}.hooks"]}],
        "triggers": [{"integration-name": integration, "python-modules": [f"{PACKAGE}.triggers"]}],
        "connection-types": [
            {
                "connection-type": "pgdurable",
                "hook-class-name": f"{PACKAGE}.hooks.PgDurableHook",
                "hook-name": integration,
                "ui-field-behaviour": UI_FIELDS,
                "conn-fields": {
                    name: {"label": label, "schema": {"type": ["string", "null"]}}
                    for name, label in EXTRA_FIELDS.items()
                },
            }
        ],
    }


UI_FIELDS = {
    "hidden-fields": [],
    "relabeling": {"schema": "Database"},
    "placeholders": {
        "port": "5432",
        "extra": '{"application_name": "airflow"}: any of libpq\'s parameters',
    },
}
EXTRA_FIELDS = {"namespace": "Namespace of the workflows", "sslmode": "SSL mode"}
