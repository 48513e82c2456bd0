"""What the threads of one worker share: its lease, its running attempts, and whether it is on its way out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgdurable_core.worker.bells import Bells
from pgdurable_core.worker.claims import Attempt, ClaimedStep, Lease, StopReason
from pgdurable_core.worker.journal import Journal
from pgdurable_core.worker.options import WorkerOptions
from pgdurable_core.worker.secrets import Masker


class Shared:
    """Safe between threads."""

    def __init__(self, options: WorkerOptions, name: str, bells: Bells) -> None:
        self.options = options
        self.name = name
        self.bells = bells
        self.masker = Masker()
        self.journal = Journal(name, self.masker, as_json=options.json_logs, on_event=options.on_event)
        self.draining = threading.Event()
        self.stopping = threading.Event()
        self.role = ""
        self._condition = threading.Condition()
        self._lease: Lease | None = None
        self._retired: list[Lease] = []
        self._attempts: dict[int, Attempt] = {}
        self.activity = 0

    # The lease.

    @property
    def lease(self) -> Lease | None:
        """Return the lease under which claims may be made now, or None."""
        with self._condition:
            return None if self._lease is None or self._lease.is_lost else self._lease

    def wait_for_lease(self, seconds: float) -> Lease | None:
        """Return the lease as soon as there is one, None after `seconds` or when the worker stops claiming."""
        with self._condition:
            self._condition.wait_for(
                lambda: self.draining.is_set() or (self._lease is not None and not self._lease.is_lost), seconds
            )
        return self.lease

    def set_lease(self, lease: Lease | None) -> None:
        """Claim under this lease from now on."""
        with self._condition:
            self._lease = lease
            self._condition.notify_all()

    def retire(self, lease: Lease) -> None:
        """Claim nothing more under this lease.

        For the claim whose answer was lost: the server may hold a step for this worker that nobody here knows. Under
        a new registration the old one is given up, with that step, when what else runs under it has ended.
        """
        with self._condition:
            if self._lease is lease:
                self._lease = None
                self._retired.append(lease)

    def leases(self) -> list[Lease]:
        """Return every lease that must be renewed."""
        with self._condition:
            return [*self._retired, *([] if self._lease is None else [self._lease])]

    def take_idle_retired(self) -> list[Lease]:
        """Return, and forget, the retired leases under which nothing runs any more."""
        with self._condition:
            held = {attempt.lease.worker_id for attempt in self._attempts.values()}
            idle = [lease for lease in self._retired if lease.worker_id not in held]
            self._retired = [lease for lease in self._retired if lease.worker_id in held]
        return idle

    # The attempts.

    @contextmanager
    def running(self, step: ClaimedStep, lease: Lease) -> Iterator[Attempt]:
        """Keep the attempt where the watchdog finds it, for the length of the block."""
        attempt = Attempt(step, lease)
        with self._condition:
            self._attempts[step.token] = attempt
            self.activity += 1
        if self.stopping.is_set():
            attempt.stop("shutdown")
        try:
            yield attempt
        finally:
            with self._condition:
                del self._attempts[step.token]
                self.activity += 1

    def attempts(self) -> list[Attempt]:
        with self._condition:
            return list(self._attempts.values())

    def stop_attempt(self, token: int, reason: StopReason) -> None:
        """Pass a stop row on to the attempt it names, once."""
        with self._condition:
            attempt = self._attempts.get(token)
        if attempt is not None and attempt.stop(reason):
            step = attempt.step
            told = f"{step.label}: {reason}"
            self.journal.tell("stop", told, instance_id=step.instance_id, step=step.label, reason=reason)

    def note_activity(self) -> None:
        """Say that something was done; `until_idle` starts to count anew."""
        with self._condition:
            self.activity += 1

    # The end.

    def drain(self) -> None:
        """Let every thread finish what it has and claim nothing more."""
        self.draining.set()
        with self._condition:
            self._condition.notify_all()
        self.bells.ring(("sql", "session", "python", "shell"))

    def stop(self) -> None:
        """End everything now."""
        self.stopping.set()
        self.drain()
        for attempt in self.attempts():
            attempt.stop("shutdown")
