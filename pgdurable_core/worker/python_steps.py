"""Python steps: a persistent child process per slot, and the pinned modules it is given."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from pgdurable_core.worker.claims import Attempt, ClaimedStep, Completed, Failed, Outcome, Skipped, error
from pgdurable_core.worker.output import StepLog
from pgdurable_core.worker.processes import KILL_AFTER, LOOK_EVERY, READ_SIZE, GuardedProcess
from pgdurable_core.worker.secrets import Masker

CHILD = Path(__file__).with_name("child.py")
ANSWER_LIMIT = 64 * 1024 * 1024
MODULES_KEPT = 256
TAIL_LINES = 20

FetchModule = Callable[[str, str], str | None]


class ModuleError(Exception):
    """A pinned module cannot be had, or its content is not what was pinned."""


class ModuleCache:
    """Module sources by (name, hash), fetched once and checked on arrival. Not safe between threads."""

    def __init__(self, fetch: FetchModule) -> None:
        self._fetch = fetch
        self._sources: OrderedDict[tuple[str, str], str] = OrderedDict()

    def load(self, pins: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Return `{name: {"sha256", "source"}}` for every pin; raises ModuleError for a content of another hash."""
        return {
            name: {"sha256": pin, "source": self._source(name, pin.removeprefix("sha256:"))}
            for name, pin in pins.items()
        }

    def _source(self, name: str, sha256: str) -> str:
        key = (name, sha256)
        if key not in self._sources:
            source = self._fetch(name, sha256)
            if source is None:
                raise ModuleError(f"module {name} with sha256 {sha256} was never stored in this database")
            found = hashlib.sha256(source.encode()).hexdigest()
            if found != sha256:
                raise ModuleError(f"module {name}: content has sha256 {found}, but {sha256} is pinned")
            self._sources[key] = source
        self._sources.move_to_end(key)
        while len(self._sources) > MODULES_KEPT:
            self._sources.popitem(last=False)
        return self._sources[key]


class PythonChild:
    """One `child.py` under its guard. It takes one job at a time and may serve many."""

    def __init__(self) -> None:
        jobs_end, self._jobs = os.pipe()
        self._results, results_end = os.pipe()
        self._lines: Callable[[str, list[str]], None] = lambda _stream, _lines: None
        try:
            # -P keeps this package's folder off the import path of the user's code.
            self.process = GuardedProcess(
                [sys.executable, "-P", "-X", "faulthandler", str(CHILD), str(jobs_end), str(results_end)],
                env=os.environ,
                cwd=str(Path.cwd()),
                on_lines=lambda stream, lines: self._lines(stream, lines),
                pass_fds=(jobs_end, results_end),
            )
        except BaseException:
            os.close(self._jobs)
            os.close(self._results)
            raise
        finally:
            os.close(jobs_end)
            os.close(results_end)
        os.set_blocking(self._jobs, False)
        os.set_blocking(self._results, False)
        self.process.selector.register(self._results, selectors.EVENT_READ, None)

    def ask(
        self, job: bytes, attempt: Attempt, on_lines: Callable[[str, list[str]], None], tick: Callable[[], None]
    ) -> bytes | None:
        """Send one job and return its answer; None when the child ended or was asked to stop before it answered."""
        self._lines = on_lines
        unsent, answer = memoryview(job), bytearray()
        while attempt.stop_reason is None and self.process.exit_code is None and len(answer) <= ANSWER_LIMIT:
            if unsent:
                try:
                    unsent = unsent[os.write(self._jobs, unsent) :]
                except BlockingIOError:
                    self.process.pump(0.01)
                except BrokenPipeError:
                    break
                continue
            if self._results in self.process.pump(LOOK_EVERY):
                with contextlib.suppress(BlockingIOError):
                    answer += os.read(self._results, READ_SIZE)
            if answer.endswith(b"\n"):
                self.process.drain()
                return bytes(answer)
            tick()
        return None

    def close(self) -> None:
        """End the child, its guard and everything they started; repeating it does nothing."""
        if self._jobs >= 0:
            self.process.close()
            os.close(self._jobs)
            os.close(self._results)
            self._jobs = -1


class PythonExecutor:
    """Runs python steps one after another in a child that is replaced when it cannot be trusted to be clean.

    That is: after it was stopped or crashed, when a callable left threads behind, and when the next step belongs to
    another role than the last one.
    """

    def __init__(self, fetch: FetchModule, masker: Masker) -> None:
        self._modules = ModuleCache(fetch)
        self._masker = masker
        self._child: PythonChild | None = None
        self._role: str | None = None

    @property
    def children(self) -> int:
        """Return how many processes it keeps."""
        return 0 if self._child is None else 1

    def run(self, attempt: Attempt, log: StepLog) -> Outcome:
        """Run the step and return how it ended; nothing is reported to the engine here."""
        step = attempt.step
        try:
            modules = self._modules.load(step.modules)
        except ModuleError as refused:
            return Failed(error("PD403", f"step {step.label}: {refused}"), retryable=False)
        child = self._child_for(step.role)
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        def take(stream: str, lines: list[str]) -> None:
            log.add(stream, lines)
            if stream == "stderr":
                tail.extend(lines)

        answer = child.ask(_job(step, modules), attempt, take, log.flush_when_due)
        if answer is not None:
            return self._outcome(answer)
        stopped = attempt.stop_reason
        if stopped is None and child.process.exit_code is None:
            child.process.pump(1.0)
        code = child.process.exit_code
        child.process.stop(grace=KILL_AFTER if stopped in ("cancel", "timeout") else 0.0)
        child.process.drain()
        self.close()
        if stopped is not None:
            return attempt.outcome_of_stop()
        return self._crash(step, code, tail)

    def _child_for(self, role: str | None) -> PythonChild:
        if self._child is not None and (role != self._role or self._child.process.exit_code is not None):
            self.close()
        if self._child is None:
            self._child, self._role = PythonChild(), role
        return self._child

    def _outcome(self, answer: bytes) -> Outcome:
        text = answer.decode("ascii")
        # The result goes on as the child wrote it: numbers keep their digits only as text.
        head, _, reusable = text.rpartition(', "reusable": ')
        if not reusable.startswith("true"):
            self.close()
        completed = '{"outcome": "completed", "result": '
        if head.startswith(completed):
            return Completed(head.removeprefix(completed))
        told = json.loads(text)
        if told["outcome"] == "skipped":
            return Skipped(self._masker.mask(told["reason"]))
        described = {
            name: self._masker.mask(value) if isinstance(value, str) else value for name, value in told["error"].items()
        }
        return Failed(described, told["retryable"])

    def _crash(self, step: ClaimedStep, code: int | None, tail: deque[str]) -> Outcome:
        if code is None:
            return Failed(
                error("PD413", f"step {step.label}: the return value is over {ANSWER_LIMIT} bytes"), retryable=False
            )
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        detail = self._masker.mask("\n".join(tail)) or None
        return Failed(
            error(None, f"step {step.label}: the Python process ended with {how} before it answered", detail=detail)
        )

    def close(self) -> None:
        """End the child; the next step gets a new one."""
        if self._child is not None:
            self._child.close()
            self._child = None


def _job(step: ClaimedStep, modules: Mapping[str, Mapping[str, str]]) -> bytes:
    claim = step.text.replace("\n", " ").replace("\r", " ")
    return f'{{"step": {claim}, "modules": {json.dumps(modules)}, "env": {json.dumps(step.environment())}}}\n'.encode()
