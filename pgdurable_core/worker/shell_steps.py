"""Shell steps: `bash -c` in a process group of its own, as Airflow's BashOperator runs it."""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from pathlib import Path

from pgdurable_core.worker.claims import Attempt, ClaimedStep, Completed, Failed, Outcome, Skipped, error
from pgdurable_core.worker.output import StepLog
from pgdurable_core.worker.processes import KILL_AFTER, LOOK_EVERY, GuardedProcess
from pgdurable_core.worker.secrets import Masker, resolve_environment

SKIP_EXIT_CODE = 99  # BashOperator(skip_on_exit_code=99), airflow.providers.standard.operators.bash
TAIL_LINES = 20


class ShellExecutor:
    """Runs shell steps; holds nothing between them."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker

    def run(self, attempt: Attempt, log: StepLog) -> Outcome:
        """Run the command and return how it ended.

        The result is the last line of stdout. Exit code 99 skips, any other but 0 fails with the tail of stderr.
        Without `cwd` the command runs in a new directory that is removed afterwards. Whatever the command leaves
        running is killed, since a step that ended must not go on working.
        """
        step = attempt.step
        try:
            env = environment(step, self._masker)
        except LookupError as missing:
            return Failed(error("PD404", f"step {step.label}: {missing}"))
        if step.cwd is not None:
            if not Path(step.cwd).is_dir():
                return Failed(error("PD404", f"step {step.label}: no such directory on this worker: {step.cwd}"))
            return self._run_in(step.cwd, env, attempt, log)
        with tempfile.TemporaryDirectory(prefix="pgdurable_", ignore_cleanup_errors=True) as fresh:
            return self._run_in(fresh, env, attempt, log)

    def _run_in(self, cwd: str, env: dict[str, str], attempt: Attempt, log: StepLog) -> Outcome:
        last: deque[str] = deque(maxlen=1)
        tail: deque[str] = deque(maxlen=TAIL_LINES)

        def take(stream: str, lines: list[str]) -> None:
            (last if stream == "stdout" else tail).extend(lines)
            log.add(stream, lines)

        process = GuardedProcess(["bash", "-c", attempt.step.command or ""], env=env, cwd=cwd, on_lines=take)
        try:
            while process.exit_code is None and attempt.stop_reason is None:
                process.pump(LOOK_EVERY)
                log.flush_when_due()
            stopped, code = attempt.stop_reason, process.exit_code
            process.stop(grace=KILL_AFTER if code is None and stopped in ("cancel", "timeout") else 0.0)
            process.drain()
        finally:
            process.close()
        if stopped == "lease" or code is None:
            return attempt.outcome_of_stop()
        return self._outcome(attempt.step, code, last[0].rstrip() if last else "", tail)

    def _outcome(self, step: ClaimedStep, code: int, result: str, tail: deque[str]) -> Outcome:
        if code == 0:
            return Completed(json.dumps(result))
        if code == SKIP_EXIT_CODE:
            return Skipped(f"exit code {SKIP_EXIT_CODE}")
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        detail = self._masker.mask("\n".join(tail)) or None
        return Failed(error(None, f"step {step.label}: the command ended with {how}", detail=detail))


def environment(step: ClaimedStep, masker: Masker) -> dict[str, str]:
    """Return the command's environment by Airflow's rule, with the step's own names added.

    `env` replaces the worker's environment, unless `append_env` lays it over; no `env` means the worker's. Raises
    LookupError for a value `env:NAME` that this worker does not have.
    """
    given = None if step.env is None else resolve_environment(step.env, masker)
    if given is None:
        base = dict(os.environ)
    elif step.append_env:
        base = os.environ | given
    else:
        base = given
    return base | step.environment()
