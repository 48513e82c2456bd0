"""Child processes that end with the worker, and whose output is read while they run."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pgdurable_core.worker.output import LineSplitter

GUARD = Path(__file__).with_name("guard.py")
KILL_AFTER = 5.0
LOOK_EVERY = 0.1
READ_SIZE = 65536

TakeLines = Callable[[str, list[str]], None]


class GuardedProcess:
    """A command under `guard.py`: it leads a process group that dies when this object, or this process, does.

    `on_lines(stream, lines)` is called from `pump`, in the thread that calls it. `exit_code` is None while the command
    runs; 128 + n says that signal n ended it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        on_lines: TakeLines,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.exit_code: int | None = None
        self.on_lines = on_lines
        self._splitters: dict[str, LineSplitter] = {}
        self._status = b""
        control, self._control = os.pipe()
        self._status_end, status = os.pipe()
        try:
            # -I: the guard must not be changed by the step's PYTHONPATH or by what lies in its directory.
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(control), str(status), "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=(control, status, *pass_fds),
                bufsize=0,
            )
        except BaseException:
            os.close(self._control)
            os.close(self._status_end)
            raise
        finally:
            os.close(control)
            os.close(status)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self._status_end, selectors.EVENT_READ, None)
        for stream, pipe in (("stdout", self._popen.stdout), ("stderr", self._popen.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ, stream)
            self._splitters[stream] = LineSplitter()

    @property
    def pid(self) -> int:
        """Return the guard's process id, which is the group's."""
        return self._popen.pid

    def pump(self, seconds: float) -> list[int]:
        """Read output for up to `seconds` or until something happens; return foreign descriptors that are readable."""
        foreign = []
        for chosen, _ in self.selector.select(seconds):
            if chosen.fd == self._status_end:
                self._read_status()
            elif chosen.data in self._splitters:
                self._read(chosen.fd, chosen.data)
            else:
                foreign.append(chosen.fd)
        return foreign

    def drain(self) -> None:
        """Read what the command has already written, and nothing that comes later."""
        for pipe, stream in ((self._popen.stdout, "stdout"), (self._popen.stderr, "stderr")):
            assert pipe is not None
            while self._read(pipe.fileno(), stream):
                pass
            self.on_lines(stream, self._splitters[stream].finish())

    def _read_status(self) -> None:
        data = os.read(self._status_end, 64)
        self._status += data
        if self._status.endswith(b"\n"):
            self.exit_code = int(self._status)
        elif not data:
            self.exit_code = 128 + signal.SIGKILL
        if self.exit_code is not None:
            self.selector.unregister(self._status_end)

    def _read(self, descriptor: int, stream: str) -> bool:
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return False
        if data:
            self.on_lines(stream, self._splitters[stream].feed(data))
        elif descriptor in self.selector.get_map():
            self.selector.unregister(descriptor)
        return bool(data)

    def terminate(self) -> None:
        """Send SIGTERM to the whole group; the guard itself ignores it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not reaped yet, so the group's number still belongs to it.
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def stop(self, *, grace: float = KILL_AFTER) -> None:
        """End the group: SIGTERM, and SIGKILL after `grace` seconds; its output is read meanwhile."""
        if grace > 0 and self.exit_code is None:
            self.terminate()
            deadline = time.monotonic() + grace
            while self.exit_code is None and (left := deadline - time.monotonic()) > 0:
                self.pump(min(left, LOOK_EVERY))
        self.kill()

    def close(self) -> None:
        """Kill what is left of the group and give back every descriptor; repeating it does nothing."""
        if self._popen.returncode is not None:
            return
        self.kill()
        os.close(self._control)
        self._popen.wait()
        self.selector.close()
        os.close(self._status_end)
        for pipe in (self._popen.stdout, self._popen.stderr):
            assert pipe is not None
            pipe.close()
