"""The worker: its lease, its heartbeat, its ear on the database, its watchdog, and the threads that run steps."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import psycopg

from pgdurable_core.engine import Connection, calls
from pgdurable_core.errors import DatabaseUnavailableError, DrainingError, PgDurableError, SchemaError
from pgdurable_core.schema import package_version
from pgdurable_core.worker.bells import Bells
from pgdurable_core.worker.claims import Lease, lease_clock
from pgdurable_core.worker.health import HealthServer
from pgdurable_core.worker.links import Backoff, Link
from pgdurable_core.worker.options import WorkerOptions, WorkerState, WorkerStatus
from pgdurable_core.worker.places import ChildSlot, Place, SessionSlot, SqlSession
from pgdurable_core.worker.pooler import find_pooler, refused_settings, transaction_pooler
from pgdurable_core.worker.state import Shared

WATCH_EVERY = 0.2
TICK_EVERY = 0.5
UNREGISTER_AFTER = 1.0
IDLE_FOR = 0.3

# Classes of SQLSTATE that may pass by themselves: connection, resources, operator intervention.
PASSING = ("08", "53", "57")
_NO_RIGHT = "42501"  # insufficient_privilege (PostgreSQL appendix A)
EVERY_LANE = ("sql", "session", "python", "shell")


class Worker:
    """A worker in this process. `start` once, then `drain` or `stop`, and `wait`.

    It runs steps until it is told not to, through restarts of the server. What makes it end by itself is a refusal that
    waiting cannot heal (no schema, not allowed, a copied database), or a fault of ours: then `failure` holds it, and
    `wait` raises it.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self.failure: Exception | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        name = options.name or f"{socket.gethostname()}-{os.getpid()}"
        self._shared = Shared(options, name, Bells(self._wake))
        self._shared.masker.add_dsn(options.dsn)
        self._shared.masker.add_environment(os.environ)
        self._ear = Link(options.dsn, f"pgdurable {name} supervisor"[:63])
        self._places: list[Place] = [
            *(SqlSession(self._shared, number) for number in range(1, options.sql_sessions + 1)),
            *(SessionSlot(self._shared, number) for number in range(1, options.session_slots + 1)),
            *(ChildSlot(self._shared, number) for number in range(1, options.python_slots + 1)),
        ]
        self._lanes = frozenset(lane for place in self._places for lane in place.lanes)
        self._ended = threading.Event()
        self._was_ready = threading.Event()
        self._registered_lanes: frozenset[str] = frozenset()
        self._empty_since: float | None = None
        self._health: HealthServer | None = None
        self._threads = [
            threading.Thread(target=body, name=f"pgdurable-{what}", daemon=True)
            for what, body in (
                ("supervisor", self._supervise),
                ("ticker", lambda: self._repeat("ticker", TICK_EVERY, self._tick)),
                ("watchdog", lambda: self._repeat("watchdog", WATCH_EVERY, self._watch)),
            )
        ]

    # From outside.

    def start(self) -> None:
        """Start every thread and return at once; a server that is down is waited for.

        Raises UsageError when the health endpoint cannot have its address; nothing was started then.
        """
        if self.options.health is not None:
            self._health = HealthServer(*self.options.health, self.options.dsn, self._shared.name, self.status)
            self._shared.journal.tell(
                "health", f"health endpoint on {self._health.url}: /healthz, /metrics", url=self._health.url
            )
        # The supervisor last: when it is refused at once, it waits for all the others.
        for thread in (*(place.thread for place in self._places), *reversed(self._threads)):
            thread.start()

    def drain(self, *, note: str = "") -> None:
        """Claim nothing more and end when the running steps have ended. Repeating it does nothing.

        `note` is told with it: how whoever asked for this can ask for more.
        """
        if not self._shared.draining.is_set():
            told = "draining: running steps may finish, nothing new is claimed"
            self._shared.journal.tell("drain", f"{told}; {note}" if note else told)
        self._shared.drain()
        self._wake()

    def stop(self) -> None:
        """End now: children are killed, statements cancelled by cutting their connections, and nothing is reported.

        The engine finds the claims given up and runs the steps again.
        """
        self._shared.stop()
        for place in self._places:
            if isinstance(place, SqlSession):
                place.link.interrupt()
        self._wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the worker has ended and say whether it has; raises the failure that ended it."""
        has_ended = self._ended.wait(timeout)
        if has_ended:
            for thread in (*self._threads, *(place.thread for place in self._places)):
                if thread is not threading.current_thread():
                    thread.join()
            if self.failure is not None:
                raise self.failure
        return has_ended

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the worker holds a lease for the first time, or has failed; say whether it holds one."""
        self._was_ready.wait(timeout)
        return self._shared.lease is not None

    def status(self) -> WorkerStatus:
        """Return a snapshot for display; asks nobody."""
        lease = self._shared.lease
        slots = tuple(place.status() for place in self._places)
        return WorkerStatus(
            name=self._shared.name,
            state=self._state(),
            worker_id=None if lease is None else lease.worker_id,
            is_connected=self._ear.is_open,
            lease_remaining=0.0 if lease is None else lease.remaining,
            slots=slots,
            steps_done=sum(slot.done for slot in slots),
            last_error=self._shared.journal.last_error,
            beat_age=lease_clock() - self._beaten_at if self._beaten_at else None,
            health_url=None if self._health is None else self._health.url,
        )

    def _state(self) -> WorkerState:
        if self._ended.is_set():
            return "stopped"
        if self._shared.draining.is_set():
            return "draining"
        return "running" if self._was_ready.is_set() else "starting"

    # The supervisor's thread: lease, heartbeat, notifications.

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    def _supervise(self) -> None:
        try:
            try:
                self._rounds()
            except Exception as failure:  # whatever it is: a worker that lost this thread looks well and does nothing
                self.failure = failure
                self.stop()
                self._join_places()
            self._farewell()
        except Exception as fault:
            self.failure = self.failure or fault
        finally:
            self._shared.stop()
            self._ear.close()
            self._join_places()
            if self._health is not None:
                self._health.close()
            self._ended.set()
            self._was_ready.set()
            for descriptor in (self._wake_read, self._wake_write):
                os.close(descriptor)

    def _rounds(self) -> None:
        """Go round until the worker is over. Raises what waiting cannot heal."""
        backoff = Backoff()
        while not self._is_over():
            try:
                self._round()
                backoff.reset()
            except (PgDurableError, psycopg.Error) as trouble:
                if not self._was_ready.is_set():
                    self._raise_refusal(trouble)
                self._shared.journal.trouble("supervisor", trouble)
                self._pause(backoff.next())

    def _raise_refusal(self, trouble: PgDurableError | psycopg.Error) -> None:
        """Raise a trouble that waiting cannot heal, in our words when it is the server's."""
        login = self._shared.role.replace("'", "''")
        ask_for = f"the owner of df lets it work for a role: select df.grant_worker('{login}', 'role')"
        if isinstance(trouble, PgDurableError):
            if trouble.sqlstate == _NO_RIGHT:
                # What people need is another grant than a worker's login does.
                raise SchemaError(trouble.message, hint=ask_for, sqlstate=trouble.sqlstate) from trouble
            if not isinstance(trouble, (DatabaseUnavailableError, DrainingError)):
                raise trouble
            return
        if trouble.sqlstate is None or trouble.sqlstate.startswith(PASSING):
            return
        hint = trouble.diag.message_hint
        if trouble.sqlstate == _NO_RIGHT:
            hint = ask_for
        message = trouble.diag.message_primary or str(trouble).strip()
        raise SchemaError(
            message, detail=trouble.diag.message_detail, hint=hint, sqlstate=trouble.sqlstate
        ) from trouble

    def _join_places(self) -> None:
        for place in self._places:
            place.thread.join()

    def _is_over(self) -> bool:
        return self._shared.draining.is_set() and not any(place.thread.is_alive() for place in self._places)

    def _pause(self, seconds: float) -> None:
        ready, _, _ = select.select([self._wake_read], [], [], seconds)
        if ready:
            self._hear_wake()

    def _hear_wake(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _round(self) -> None:
        """Keep everything the server knows about this worker up to date, then wait for whatever comes first."""
        if not self._ear.is_open:
            self._open_ear()
        if self._shared.lease is None and not self._shared.draining.is_set():
            self._register()
        due = self._beat()
        for retired in self._shared.take_idle_retired():
            self._ear.rows(calls.UNREGISTER_WORKER, [retired.worker_id])
        self._tell_sleepers()
        if self.options.until_idle and self._is_idle():
            self.drain()
        if self._shared.draining.is_set():
            due = min(due, 0.05)
        if self.options.until_idle:
            due = min(due, IDLE_FOR / 3)
        self._listen(due)

    def _open_ear(self) -> None:
        self._registered_lanes = frozenset()
        try:
            connection = self._ear.connection()
        except DatabaseUnavailableError as refused:
            raise refused_settings(refused) or refused from refused.__cause__
        self._look_for_pooler(connection)
        if not self._ear.value(calls.HAS_ENGINE):
            raise SchemaError("this database does not hold the engine", hint="pgdurable init")
        self._shared.role = connection.info.user
        # Notifications that arrive with the answer to something else reach only a handler.
        connection.add_notify_handler(lambda note: self._shared.bells.ring((note.payload,)))
        self._ear.rows(calls.LISTEN)
        self._shared.bells.ring(EVERY_LANE)

    def _look_for_pooler(self, connection: Connection) -> None:
        between = find_pooler(connection, self.options.dsn)
        if between == "transaction pooler":
            self._ear.close()
            raise transaction_pooler()
        if between == "session pooler":
            told = "a pooler in session mode stands between: every connection of this worker takes one of its sessions"
            self._shared.journal.tell("pooler", told)

    def _register(self) -> None:
        asked = lease_clock()
        seconds = self.options.lease
        worker_id = self._ear.value(
            calls.REGISTER_WORKER,
            [self._shared.name, socket.gethostname(), os.getpid(), package_version(), timedelta(seconds=seconds)],
        )
        self._registered_lanes = frozenset()
        self._beaten_at = asked
        self._shared.set_lease(Lease(worker_id, seconds, asked))
        self._shared.journal.tell(
            "ready",
            f"worker {worker_id} ({self._shared.name}) serves {', '.join(sorted(self._lanes))}",
            worker_id=worker_id,
        )
        self._was_ready.set()

    def _beat(self) -> float:
        """Renew every lease that is due and return in how many seconds the next is."""
        every = self.options.lease / 4
        left = self._beaten_at + every - lease_clock() if self._shared.leases() else every
        if left > 0:
            return left
        for lease in self._shared.leases():
            asked = lease_clock()
            try:
                known = self._ear.value(calls.BEAT, [lease.worker_id]) is not None
            except PgDurableError as refused:
                if isinstance(refused, DatabaseUnavailableError):
                    raise
                known = False
            if known:
                lease.renewed(asked)
            else:
                lease.revoke()
                self._shared.journal.tell("lease", f"the server no longer knows worker {lease.worker_id}")
        self._beaten_at = lease_clock()
        return every

    def _tell_sleepers(self) -> None:
        """Ask for notifications while somebody sleeps; leave the list a second after nobody did."""
        lease = self._shared.lease
        if lease is None:
            return
        asleep = self._shared.bells.asleep()
        if fresh := asleep - self._registered_lanes:
            wanted = self._registered_lanes | asleep
            self._ear.rows(calls.SLEEP_WORKER, [lease.worker_id, sorted(wanted)])
            self._registered_lanes = wanted
            # What was queued before the registration notified nobody.
            self._shared.bells.ring(sorted(fresh))
        now = time.monotonic()
        self._empty_since = None if asleep else self._empty_since or now
        if self._empty_since is not None and self._registered_lanes and now - self._empty_since >= UNREGISTER_AFTER:
            self._ear.rows(calls.WAKE_WORKER, [lease.worker_id])
            self._registered_lanes = frozenset()

    def _listen(self, seconds: float) -> None:
        connection = self._ear.connection()
        if self._registered_lanes and not self._shared.bells.asleep():
            seconds = min(seconds, UNREGISTER_AFTER)
        ready, _, _ = select.select([connection.fileno(), self._wake_read], [], [], max(0.0, seconds))
        if self._wake_read in ready:
            self._hear_wake()
        if connection.fileno() not in ready:
            return
        try:
            connection.pgconn.consume_input()
        except psycopg.OperationalError as lost:
            self._ear.close()
            raise DatabaseUnavailableError(str(lost).strip()) from lost
        while (note := connection.pgconn.notifies()) is not None:
            self._shared.bells.ring((note.extra.decode(),))

    def _is_idle(self) -> bool:
        """Say whether nothing has been done for a while and nothing is planned."""
        now, activity = time.monotonic(), self._shared.activity
        is_busy = self._shared.lease is None or not all(place.is_idle for place in self._places)
        if is_busy or activity != self._idle_activity:
            self._idle_activity, self._idle_since = activity, now
            return False
        return now - self._idle_since >= IDLE_FOR and self._ear.value(calls.NEXT_DUE) is None

    def _farewell(self) -> None:
        """Give the leases back, so that what was not reported runs elsewhere without waiting for them to end."""
        try:
            for lease in self._shared.leases():
                if not lease.is_lost:
                    self._ear.rows(calls.UNREGISTER_WORKER, [lease.worker_id])
        except (PgDurableError, psycopg.Error) as trouble:
            self._shared.journal.trouble("supervisor", trouble)
        self._shared.set_lease(None)
        self._shared.journal.tell("stopped", "stopped")

    _beaten_at = 0.0
    _idle_activity = -1
    _idle_since = 0.0

    # The ticker's and the watchdog's threads.

    def _repeat(self, what: str, every: float, once: Callable[[Link], None]) -> None:
        link = Link(self.options.dsn, f"pgdurable {self._shared.name} {what}"[:63])
        backoff = Backoff()
        try:
            while not self._ended.is_set() and not self._is_over():
                pause = every
                try:
                    if self._was_ready.is_set():
                        once(link)
                    backoff.reset()
                except (PgDurableError, psycopg.Error) as trouble:
                    self._shared.journal.trouble(what, trouble)
                    pause = max(every, backoff.next())
                self._ended.wait(min(pause, WATCH_EVERY) if self._shared.draining.is_set() else pause)
        finally:
            link.close()

    def _tick(self, link: Link) -> None:
        link.rows(calls.TICK)

    def _watch(self, link: Link) -> None:
        """Signal backends with a stop row, and pass this worker's own stop rows on to its attempts."""
        link.rows(calls.SIGNAL_STOPS)
        for worker_id in {attempt.lease.worker_id for attempt in self._shared.attempts()}:
            for token, reason in link.rows(calls.STOPPED, [worker_id]):
                self._shared.stop_attempt(token, reason)
