"""Connections that come back: opened when needed, and again when they were lost."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString

import psycopg

from pgdurable_core.engine import Connection, connect
from pgdurable_core.engine.client import translated
from pgdurable_core.errors import DatabaseUnavailableError

# A cancelled or vanished client must not leave a backend at work (hazard 40), and an armed statement timeout would
# end the whole CALL (hazard 10).
SESSION_SETTINGS: Final[Mapping[str, str]] = {"statement_timeout": "0", "client_connection_check_interval": "500"}


class Backoff:
    """Waiting times that double from 0.1 s to 5 s, each shortened by chance so that many do not come at once."""

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def next(self) -> float:
        seconds, self._next = self._next, min(self._next * 2, self._longest)
        return seconds * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next = self._first


class Link:
    """One autocommit connection for one thread. Any statement may raise DatabaseUnavailableError; the next reopens."""

    def __init__(self, dsn: str, application_name: str, settings: Mapping[str, str] = SESSION_SETTINGS) -> None:
        self._dsn, self._application_name, self._settings = dsn, application_name, settings
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_interrupted = False
        self.on_notice: Callable[[psycopg.errors.Diagnostic], None] | None = None

    def connection(self) -> Connection:
        """Return the open connection, opening it when there is none."""
        if self._connection is None:
            if self._is_interrupted:
                raise DatabaseUnavailableError("the worker is stopping")
            opened = connect(self._dsn, application_name=self._application_name, settings=self._settings)
            if self.on_notice is not None:
                opened.add_notice_handler(self.on_notice)
            with self._lock:
                self._connection = opened
        return self._connection

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def rows(self, statement: LiteralString, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction and return its rows.

        In one message of the simple protocol: in the extended one the transaction begins before the statement does,
        which a procedure that commits takes for a transaction block of the caller's.
        """
        connection = self.connection()
        try:
            with translated(), psycopg.ClientCursor(connection) as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        except BaseException as error:
            if connection.closed:
                self.close()
                if isinstance(error, psycopg.Error):
                    raise DatabaseUnavailableError(str(error).strip().splitlines()[0] or "connection lost") from error
            raise

    def value(self, statement: LiteralString, values: Sequence[object] = ()) -> Any:
        """Run one statement and return the only column of its only row."""
        [[value]] = self.rows(statement, values)
        return value

    def interrupt(self) -> None:
        """Cut the connection from another thread, so that whoever waits on it gets an error; it is not opened again."""
        with self._lock:
            self._is_interrupted = True
            if self._connection is not None:
                cut(self._connection)

    def close(self) -> None:
        """Close the connection; the next statement opens a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


def cut(connection: Connection) -> None:
    """Shut a connection's socket down under whoever is using it."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
