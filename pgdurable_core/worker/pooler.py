"""What stands between a connection and its server, told by what a pooler in transaction mode cannot keep.

A worker needs a session of its own for every connection: LISTEN, settings, advisory locks and the call of `df.work`
itself belong to one. PgBouncer in transaction mode gives each transaction to whichever server session is free, and
loses all of it without an error.
"""

from __future__ import annotations

import threading
from typing import Final, Literal

import psycopg

from pgdurable_core.engine import Connection, calls, connect
from pgdurable_core.errors import DatabaseUnavailableError, PgDurableError, SetupError
from pgdurable_core.worker.links import cut

Between = Literal["nothing", "session pooler", "transaction pooler"]

# A pool that hands its sessions out in turn shows the same one again after as many looks as it has sessions.
LOOKS: Final = 25
# A pool in session mode that has no session left keeps the second connection waiting.
PATIENCE: Final = 3.0
HINT: Final = "connect to PostgreSQL's own port, or to a pool with pool_mode = session"


def find_pooler(connection: Connection, dsn: str) -> Between:
    """Say what stands between; `dsn` is how `connection` was made, which must not be in a transaction.

    A server tells a client its process id when the session begins; a pooler makes one up, since it does not know yet
    which server session it will be. Behind one, two connections that meet in one server session give it away.
    """
    ours = {_pid(connection), _pid(connection)}
    if ours == {connection.info.backend_pid}:
        return "nothing"
    if len(ours) > 1:
        return "transaction pooler"
    try:
        with connect(dsn, application_name="pgdurable pooler test") as other:
            timer = threading.Timer(PATIENCE, cut, [other])
            timer.start()
            try:
                is_shared = any(_pid(other) in ours or _pid(connection) not in ours for _ in range(LOOKS))
            finally:
                timer.cancel()
    except (PgDurableError, psycopg.Error):
        return "session pooler"
    return "transaction pooler" if is_shared else "session pooler"


def transaction_pooler() -> SetupError:
    """Return what is said to a worker behind a pooler in transaction mode."""
    return SetupError(
        "a pooler in transaction mode stands between here and PostgreSQL",
        detail="what belongs to a session (LISTEN, settings, advisory locks, a call of df.work) is lost between two"
        " transactions",
        hint=HINT,
    )


def refused_settings(error: DatabaseUnavailableError) -> SetupError | None:
    """Return what a refused connection means when a pooler refused the settings of a worker's session, else None."""
    if "unsupported startup parameter" not in error.message:
        return None
    return SetupError(
        "a pooler stands between here and PostgreSQL, and refuses the settings of a worker's session",
        detail=error.message,
        hint=f"{HINT} and ignore_startup_parameters = options",
    )


def _pid(connection: Connection) -> int:
    row = connection.execute(calls.BACKEND_PID).fetchone()
    assert row is not None
    return int(row[0])
