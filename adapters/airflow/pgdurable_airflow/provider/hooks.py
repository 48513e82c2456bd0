"""The connection type `pgdurable`: from an Airflow connection to a database that holds the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from psycopg.conninfo import make_conninfo

from pgdurable_airflow.provider import EXTRA_FIELDS, UI_FIELDS
from pgdurable_airflow.provider.compat import AIRFLOW_3, BaseHook, get_connection_async
from pgdurable_airflow.provider.compat import Connection as AirflowConnection
from pgdurable_core.engine import DEFAULT_NAMESPACE, Client, Connection, connect
from pgdurable_core.errors import PgDurableError, SchemaError, UsageError


class PgDurableHook(BaseHook):
    """Speak to the engine that a connection of type `pgdurable` leads to.

    Host, port, login, password and database are what they are for PostgreSQL. Extra holds libpq's parameters
    (`sslmode`, `sslrootcert`, `options`, ...) and `namespace`, that of the workflows, `default` where it says nothing.
    A connection of type `postgres` does as well. The login needs `df.grant_usage`, nothing else.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "pgdurable_default"
    conn_type = "pgdurable"
    hook_name = "PgDurable"

    def __init__(self, conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self._found: tuple[str, str] | None = None

    @property
    def dsn(self) -> str:
        """Return the connection string. Raises UsageError when Extra holds what libpq does not know."""
        return self._settings()[0]

    @property
    def namespace(self) -> str:
        """Return the namespace that the connection names."""
        return self._settings()[1]

    async def dsn_async(self) -> str:
        """Return the connection string, from inside a triggerer."""
        connection, extra = await get_connection_async(self.conn_id)
        return settings_of(connection, extra)[0]

    def get_conn(self) -> Connection:
        """Open a connection in autocommit mode. Raises DatabaseUnavailableError."""
        return connect(self.dsn, application_name="pgdurable airflow")

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Give the engine's calls over a connection that is closed afterwards. Raises SchemaError without an engine."""
        with self.get_conn() as connection:
            client = Client(connection)
            if not client.has_engine():
                server = client.server()
                raise SchemaError(
                    f"there is no pgdurable in database {server.database} that connection {self.conn_id} leads to",
                    hint="pgdurable init, with --dsn or --env",
                )
            yield client

    def test_connection(self) -> tuple[bool, str]:
        """Say where the connection leads and whether anything works there, for Airflow's form."""
        try:
            with self.client() as client:
                server = client.server()
                alive = sum(worker.is_alive for worker in client.workers())
                return True, (
                    f"{server.role}@{server.database}, PostgreSQL {server.version}, schema df {client.version()}, "
                    + (f"{alive} workers" if alive != 1 else "1 worker")
                )
        except PgDurableError as error:
            return False, error.show()

    def _settings(self) -> tuple[str, str]:
        if self._found is None:
            connection = self.get_connection(self.conn_id)
            self._found = settings_of(connection, connection.extra_dejson)
        return self._found

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        return {name.replace("-", "_"): value for name, value in UI_FIELDS.items()}

    if not AIRFLOW_3:  # 3.x reads the fields from get_provider_info, and warns of this method

        @classmethod
        def get_connection_form_widgets(cls) -> dict[str, Any]:
            field, widget = import_module("wtforms").StringField, import_module("flask_appbuilder.fieldwidgets")
            return {name: field(label, widget=widget.BS3TextFieldWidget()) for name, label in EXTRA_FIELDS.items()}


def settings_of(connection: AirflowConnection, extra: Mapping[str, Any]) -> tuple[str, str]:
    """Return connection string and namespace. Raises UsageError."""
    said = {name: value for name, value in extra.items() if value not in (None, "")}
    namespace = str(said.pop("namespace", DEFAULT_NAMESPACE))
    parts = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
    }
    given = {name: value for name, value in parts.items() if value not in (None, "")}
    try:
        return make_conninfo("", **{**said, **given}), namespace
    except Exception as error:
        raise UsageError(
            f"the Extra of connection {connection.conn_id} is not libpq's: {str(error).strip()}",
            hint="Extra takes namespace, sslmode and the other parameters of a PostgreSQL connection string.",
        ) from None
