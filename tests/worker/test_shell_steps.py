"""Shell steps: environment, directory, exit codes, and that nothing outlives them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from worker_steps import KeptLog, attempt, claim, gone, read_pid

from pgdurable_core.worker.claims import Abandoned, Completed, Failed, Outcome, Skipped
from pgdurable_core.worker.secrets import Masker, resolve_reference
from pgdurable_core.worker.shell_steps import ShellExecutor


def run(command: str, log: KeptLog | None = None, masker: Masker | None = None, **fields: Any) -> Outcome:
    kept = log or KeptLog()
    outcome = ShellExecutor(masker or Masker()).run(attempt(claim(kind="shell", command=command, **fields)), kept)
    kept.flush()
    return outcome


def test_the_result_is_the_last_line_of_stdout() -> None:
    log = KeptLog()
    assert run("echo one; echo 'two \"2\"  '; echo three >&2", log) == Completed('"two \\"2\\""')
    assert [line for line in log.sent if line[0] == "stdout"] == [("stdout", "one"), ("stdout", 'two "2"  ')]
    assert ("stderr", "three") in log.sent
    assert run("true") == Completed('""')


def test_exit_code_99_skips_and_others_fail_with_the_tail_of_stderr() -> None:
    assert run("exit 99") == Skipped("exit code 99")
    outcome = run("echo no such table >&2; exit 3")
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "step load[2]: the command ended with exit code 3"
    assert outcome.error["detail"] == "no such table"
    assert outcome.retryable


def test_env_replaces_the_environment_unless_it_is_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_WORKER", "w")
    show = "echo ${FROM_WORKER-none} ${GIVEN-none} $PGDURABLE_STEP $PGDURABLE_TRY_NUMBER"
    assert run(show) == Completed('"w none load[2] 2"')
    assert run(show, env={"GIVEN": "g"}) == Completed('"none g load[2] 2"')
    assert run(show, env={"GIVEN": "g"}, append_env=True) == Completed('"w g load[2] 2"')
    assert run(show, env={}) == Completed('"none none load[2] 2"')


def test_without_cwd_the_directory_is_new_empty_and_removed(tmp_path: Path) -> None:
    outcome = run('echo x > left; echo "$(ls | wc -l) $PWD"')
    assert isinstance(outcome, Completed)
    assert outcome.result is not None
    count, directory = outcome.result.strip('"').split()
    assert count == "1"
    assert not Path(directory).exists()
    assert run("pwd", cwd=str(tmp_path)) == Completed(f'"{tmp_path}"')
    missing = run("pwd", cwd=str(tmp_path / "missing"))
    assert isinstance(missing, Failed)
    assert missing.error["sqlstate"] == "PD404"


def test_references_in_env_are_resolved_and_their_values_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_KEY", "open-sesame")
    masker, log = Masker(), KeptLog()
    log._masker = masker
    env = {"KEY": "env:WAREHOUSE_KEY", "DD_TAGS": "env:prod", "API_TOKEN": "literal-token"}
    assert run('echo "$KEY $DD_TAGS $API_TOKEN"; test "$KEY" = open-sesame && echo same', log, masker, env=env) == (
        Completed('"same"')
    )
    assert log.sent == [("stdout", "*** env:prod ***"), ("stdout", "same")]
    missing = run("true", env={"KEY": "env:NOT_HERE"})
    assert isinstance(missing, Failed)
    assert "NOT_HERE" in str(missing.error["message"])


def test_references_name_what_is_missing_and_never_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open-sesame\n")
    monkeypatch.setenv("KEY_HERE", "from env")
    assert resolve_reference("env:KEY_HERE") == "from env"
    assert resolve_reference(f"file:{secret}") == "open-sesame"
    assert resolve_reference("cmd:echo hunter2") == "hunter2"
    for reference in ("env:NOT_HERE", "file:/not/here", "cmd:echo hunter2; exit 1", "postgresql://u:hunter2@h"):
        with pytest.raises(LookupError) as raised:
            resolve_reference(reference)
        assert "hunter2" not in str(raised.value)


def test_what_the_command_leaves_running_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    assert run(f"sleep 60 > /dev/null 2>&1 & echo $! > {out}; echo done") == Completed('"done"')
    assert gone(read_pid(out))


def test_a_background_process_that_holds_stdout_open_does_not_hold_the_step(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    began = time.monotonic()
    assert run(f"sleep 60 & echo $! > {out}; echo done") == Completed('"done"')
    assert time.monotonic() - began < 10
    assert gone(read_pid(out))


def test_cancel_ends_the_whole_group_and_gives_it_time_to_clean_up(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    log = KeptLog()
    command = f"trap 'echo cleaning; exit 1' TERM; sleep 60 & echo $! > {out}; wait"
    running = attempt(claim(kind="shell", command=command))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(ShellExecutor(Masker()).run(running, log)))
    thread.start()
    sleeper = read_pid(out)
    assert running.stop("cancel")
    assert not running.stop("timeout")
    thread.join(10)
    log.flush()
    assert gone(sleeper)
    assert log.sent == [("stdout", "cleaning")]
    [outcome] = outcomes
    assert isinstance(outcome, Failed)
    assert (outcome.error["sqlstate"], outcome.retryable) == ("PD499", False)


def test_a_lost_lease_kills_the_command_before_the_lease_ends(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    running = attempt(claim(kind="shell", command=f"trap '' TERM; echo $$ > {out}; sleep 60"), lease_seconds=3)
    began = time.monotonic()
    assert ShellExecutor(Masker()).run(running, KeptLog()) == Abandoned("the worker's lease ended")
    assert time.monotonic() - began < 3
    assert gone(read_pid(out))


def test_the_log_is_capped_with_a_last_word() -> None:
    log = KeptLog()
    assert run("seq 1 12000", log) == Completed('"12000"')
    assert len(log.sent) == 10_001
    assert log.sent[-2:] == [
        ("stdout", "10000"),
        ("engine", "log limit of 10000 lines reached; further lines are dropped"),
    ]


def test_lines_that_are_no_text_are_made_text() -> None:
    log = KeptLog()
    assert run(r"printf 'a\xffb\0c\r\nlast'", log) == Completed('"last"')
    assert log.sent == [("stdout", "a\ufffdb\ufffdc"), ("stdout", "last")]


def test_every_descriptor_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    for _ in range(3):
        run("true")
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    assert after == before
