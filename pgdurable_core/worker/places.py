"""The threads in which steps run: sessions on `df.work`, and slots that execute claimed steps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Literal

import psycopg
from psycopg.types.json import Jsonb

from pgdurable_core.engine import calls
from pgdurable_core.errors import (
    CancelledError,
    ConflictError,
    DatabaseUnavailableError,
    DrainingError,
    EngineError,
    PgDurableError,
)
from pgdurable_core.worker.claims import (
    Abandoned,
    Attempt,
    ClaimedStep,
    Completed,
    Failed,
    Lease,
    Outcome,
    Reported,
    Skipped,
    lease_clock,
)
from pgdurable_core.worker.links import Backoff, Link
from pgdurable_core.worker.notices import NoticeLog
from pgdurable_core.worker.options import SlotStatus
from pgdurable_core.worker.output import StepLog, storable
from pgdurable_core.worker.python_steps import PythonExecutor
from pgdurable_core.worker.shell_steps import ShellExecutor
from pgdurable_core.worker.sql_steps import SqlExecutor
from pgdurable_core.worker.state import Shared

# A call ends after this long, so that a drain and an upgrade of the procedure are not kept waiting (hazard 28).
CALL_SECONDS = 5
# Looks of a sleeper before it trusts the notification, whose check and registration can cross (hazard 41).
LOOKS = (0.005, 0.020, 0.080)
LONGEST_SLEEP = 1.0
# A timer that is due and not yet promoted must not make a session spin.
SHORTEST_SLEEP = 0.05


class Place:
    """One thread and one connection that does one thing at a time until the worker drains."""

    lanes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shared: Shared, number: int) -> None:
        self.shared = shared
        self.link = Link(shared.options.dsn, f"pgdurable {shared.name} {self.lanes[0]} {number}"[:63])
        self.backoff = Backoff()
        self.done = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._label: str | None = None
        self._state: Literal["connecting", "idle", "working"] = "connecting"
        self._since = time.monotonic()
        self.thread = threading.Thread(target=self._main, name=f"pgdurable-{self.lanes[0]}-{number}", daemon=True)

    def status(self) -> SlotStatus:
        seconds = time.monotonic() - self._since
        outcomes = dict(self.outcomes)
        return SlotStatus(self.lanes, self._state, self._label, seconds, self.done, self.children, outcomes)

    @property
    def children(self) -> int:
        """Return how many child processes this place keeps."""
        return 0

    @property
    def is_idle(self) -> bool:
        return self._state == "idle"

    def enter(self, state: Literal["connecting", "idle", "working"], label: str | None = None) -> None:
        if (state, label) != (self._state, self._label):
            self._state, self._label, self._since = state, label, time.monotonic()

    def _main(self) -> None:
        try:
            while not self.shared.draining.is_set():
                self._turn()
        finally:
            self.close()

    def _turn(self) -> None:
        try:
            lease = self.shared.lease or self.shared.wait_for_lease(LONGEST_SLEEP)
            if lease is not None:
                self.turn(lease)
                self.backoff.reset()
        except DatabaseUnavailableError as gone:
            self.enter("connecting")
            self._pause(gone)
        except (PgDurableError, psycopg.Error) as failed:
            self._pause(failed)
        except (
            Exception
        ) as fault:  # a thread that died of a fault of ours would leave its lane unserved and say nothing
            self._pause(RuntimeError(f"{type(fault).__name__}: {fault}"))

    def _pause(self, trouble: Exception) -> None:
        if not self.shared.draining.is_set():
            self.shared.journal.trouble(self.thread.name, trouble)
            self.shared.draining.wait(self.backoff.next())

    def turn(self, lease: Lease) -> None:
        """Do one thing, or sleep until there may be one."""
        raise NotImplementedError

    def sleep(self, found: Callable[[], bool], longest: Callable[[], float]) -> None:
        """Sleep until the lane is rung or `found` sees work, which is asked soon, and at last after `longest()`."""
        self.enter("idle")
        bells = self.shared.bells
        with bells.sleeping(self.lanes):
            count = bells.count(self.lanes)
            for pause in LOOKS:
                if self.shared.draining.is_set() or bells.wait(self.lanes, count, pause) or found():
                    return
            bells.wait(self.lanes, count, longest())

    def close(self) -> None:
        self.link.close()


class SqlSession(Place):
    """Runs plain SQL steps: `call df.work(…)` again and again, carrying the position in the queue."""

    lanes = ("sql",)

    def __init__(self, shared: Shared, number: int) -> None:
        super().__init__(shared, number)
        self._pos: str | None = None
        self._due = LONGEST_SLEEP
        self._notices = NoticeLog(
            Link(shared.options.dsn, f"pgdurable {shared.name} notices {number}"[:63]), shared.masker
        )
        self.link.on_notice = self._notices.take

    def turn(self, lease: Lease) -> None:
        self.enter("working")
        try:
            [[self._pos, done]] = self.link.rows(calls.WORK, [CALL_SECONDS, 0, lease.worker_id, self._pos])
        finally:
            self._notices.flush()
        if done:
            self.done += done
            self.outcomes["sql", "ended"] += done
            self.shared.note_activity()
        else:
            self.sleep(self._has_work, lambda: min(max(self._due, SHORTEST_SLEEP), LONGEST_SLEEP))

    def close(self) -> None:
        self._notices.close()
        super().close()

    def _has_work(self) -> bool:
        [[has_work, due]] = self.link.rows(calls.HAS_WORK_OR_DUE, [self._pos])
        self._due = LONGEST_SLEEP if due is None else due
        return bool(has_work)


class StepSlot(Place):
    """Claims steps of its lanes, executes them, and tells the engine how they ended."""

    def __init__(self, shared: Shared, number: int) -> None:
        super().__init__(shared, number)
        self._next: ClaimedStep | None = None

    def execute(self, attempt: Attempt, log: StepLog) -> Outcome:
        """Run the step. An exception is a fault of ours and fails the attempt."""
        raise NotImplementedError

    def turn(self, lease: Lease) -> None:
        step = self._claim(lease)
        if step is None:
            self.sleep(lambda: self._look(lease), lambda: LONGEST_SLEEP)
            step, self._next = self._next, None
        if step is not None:
            self._run(step, lease)

    def _look(self, lease: Lease) -> bool:
        if not lease.is_lost:
            self._next = self._claim(lease)
        return self._next is not None

    def _claim(self, lease: Lease) -> ClaimedStep | None:
        self.link.connection()
        try:
            text = self.link.value(calls.CLAIM_STEP, [lease.worker_id, list(self.lanes)])
        except DatabaseUnavailableError:
            self.shared.retire(lease)
            raise
        except DrainingError:
            return None
        try:
            return None if text is None else ClaimedStep.from_json(text)
        except (ValueError, LookupError, TypeError):
            self.shared.retire(lease)
            raise

    def _run(self, step: ClaimedStep, lease: Lease) -> None:
        self.enter("working", f"{step.instance_id} {step.label}")
        with self.shared.running(step, lease) as attempt:
            log = StepLog(lambda stream, lines: self._send(step, stream, lines), self.shared.masker)
            try:
                outcome = self.execute(attempt, log)
            except DatabaseUnavailableError as gone:
                outcome = Failed({"sqlstate": "08006", "message": f"step {step.label}: {gone}"})
            except Exception as fault:  # whatever it is, the claim must not be left without an answer
                self.shared.journal.trouble(f"{step.instance_id} {step.label}", fault)
                outcome = Failed(
                    {"sqlstate": None, "message": f"step {step.label}: the worker could not run it: {fault}"}
                )
            log.flush()
            self._report(attempt, outcome)
        self.done += 1

    def _send(self, step: ClaimedStep, stream: str, lines: list[str]) -> None:
        try:
            self.link.rows(calls.LOG, [*step.claim, stream, lines])
        except (PgDurableError, psycopg.Error) as failed:
            # A log line is worth less than the step: a refused one is dropped, and the step goes on.
            self.shared.journal.trouble(f"log of {step.instance_id} {step.label}", failed)

    def _report(self, attempt: Attempt, outcome: Outcome) -> None:
        """Tell the engine, again after a lost connection, until it has answered or the lease is lost."""
        step, state = attempt.step, "abandoned"
        backoff = Backoff()
        while True:
            if attempt.stop_reason == "lease" and not isinstance(outcome, Reported):
                outcome = Abandoned("the worker's lease ended")
            try:
                state = self._tell(step, outcome)
                break
            except DatabaseUnavailableError as gone:
                self.shared.journal.trouble(f"{step.instance_id} {step.label}", gone)
                if self.shared.stopping.wait(backoff.next()):
                    break
            except ConflictError as lost:
                outcome = Abandoned(str(lost))
            except (EngineError, psycopg.Error) as refused:
                if isinstance(outcome, Failed):
                    # Nothing we say is taken. Given back with the registration, the step is not left running for ever.
                    self.shared.journal.trouble(f"{step.instance_id} {step.label}", refused)
                    self.shared.retire(attempt.lease)
                    break
                outcome = _refused(refused)
        lane = step.kind if step.kind in self.lanes else self.lanes[0]
        self.outcomes[lane, state] += 1
        why = outcome.reason if isinstance(outcome, Abandoned) else None
        self.shared.journal.tell(
            "step",
            f"{step.instance_id} {step.label}: {state}" + (f" ({why})" if why else ""),
            instance_id=step.instance_id,
            step=step.label,
            state=state,
            lane=lane,
            attempt=step.attempt,
            seconds=round(lease_clock() - attempt.started, 3),
        )

    def _tell(self, step: ClaimedStep, outcome: Outcome) -> str:
        claim = step.claim
        match outcome:
            case Completed(result, row_count):
                return str(self.link.value(calls.COMPLETE_STEP, [*claim, result, row_count]))
            case Failed(error, retryable):
                described = {name: storable(text) if isinstance(text, str) else text for name, text in error.items()}
                return str(self.link.value(calls.FAIL_STEP, [*claim, Jsonb(described), retryable]))
            case Skipped(reason):
                self.link.rows(calls.SKIP_STEP, [*claim, storable(reason)])
                return "skipped"
            case Reported(state):
                return state
            case Abandoned():
                return "abandoned"


class ChildSlot(StepSlot):
    """Runs python and shell steps in child processes."""

    lanes = ("python", "shell")

    def __init__(self, shared: Shared, number: int) -> None:
        super().__init__(shared, number)
        self._python = PythonExecutor(self._fetch, shared.masker)
        self._shell = ShellExecutor(shared.masker)
        self._shells = 0

    @property
    def children(self) -> int:
        return self._python.children + self._shells

    def _fetch(self, name: str, sha256: str) -> str | None:
        source: str | None = self.link.value(calls.GET_MODULE, [name, sha256])
        return source

    def execute(self, attempt: Attempt, log: StepLog) -> Outcome:
        if attempt.step.kind != "shell":
            return self._python.run(attempt, log)
        self._shells = 1
        try:
            return self._shell.run(attempt, log)
        finally:
            self._shells = 0

    def close(self) -> None:
        self._python.close()
        super().close()


class SessionSlot(StepSlot):
    """Runs session and autonomous SQL on connections of the steps' roles."""

    lanes = ("session",)

    def execute(self, attempt: Attempt, log: StepLog) -> Outcome:
        options = self.shared.options
        executor = SqlExecutor(options.dsn, self.shared.role, options.logins, self.shared.masker)
        return executor.run(attempt, log)


def _refused(error: EngineError | psycopg.Error) -> Failed:
    if isinstance(error, EngineError):
        described = {"sqlstate": error.sqlstate, "message": error.message, "detail": error.detail, "hint": error.hint}
        # PD499: stopped while it ended; the stop row says whether that was a timeout, which may be tried again.
        return Failed(described, retryable=isinstance(error, CancelledError))
    return Failed({"sqlstate": error.sqlstate, "message": str(error).strip()}, retryable=False)
