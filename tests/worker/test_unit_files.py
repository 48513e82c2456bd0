"""The systemd unit and the container file: checked by systemd itself, and by doing what they say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from server import Database

from pgdurable_core.worker import Worker, WorkerOptions
from pgdurable_core.worker.unit import systemd_unit

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "pgdurable_core" / "worker" / "deploy"
SYSTEMD = shutil.which("systemd-analyze")
HADOLINT = shutil.which("hadolint")
# Of the container file reference; ONBUILD and MAINTAINER are better left alone.
INSTRUCTIONS = {
    *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME", "SHELL"),
    *("ENTRYPOINT", "CMD", "HEALTHCHECK", "STOPSIGNAL"),
}


def printed(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pgdurable_core.cli", "worker", *options, "--print-systemd-unit"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def verified(unit: str, folder: Path) -> str:
    """Let systemd read a unit; return what it has to say."""
    file = folder / "pgdurable-worker.service"
    file.write_text(unit)
    assert SYSTEMD is not None
    done = subprocess.run([SYSTEMD, "verify", "--man=no", file], capture_output=True, text=True, timeout=60)
    # Units of the machine that ours orders itself after may have faults of their own.
    return "\n".join(line for line in done.stderr.splitlines() if "pgdurable" in line)


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("options", [[], ["--sql", "8", "--name", 'a "b" 100% $x', "--health", "8008"]])
def test_the_unit_is_what_systemd_reads(tmp_path: Path, options: list[str]) -> None:
    assert verified((DEPLOY / "pgdurable-worker.service").read_text(), tmp_path) == ""
    done = printed(*options)
    assert (done.returncode, done.stderr) == (0, "")
    assert verified(done.stdout, tmp_path) == ""


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-analyze is not on this machine")
def test_systemd_would_say_what_is_wrong_with_a_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "pgdurable-worker.service").read_text()
    assert "Executable /no/such/program" in verified(
        re.sub("ExecStart=.*", "ExecStart=/no/such/program", unit), tmp_path
    ) or (
        "/no/such/program is not executable"
        in verified(re.sub("ExecStart=.*", "ExecStart=/no/such/program", unit), tmp_path)
    )
    assert "Failed to parse" in verified(unit.replace("KillMode=mixed", "KillMode=some"), tmp_path)


def test_the_printed_unit_runs_the_command_that_was_given_and_holds_no_secret() -> None:
    done = printed(
        "--sql", "8", "--name", "w 1", "--health", "8008", "--log-format", "json", "--dsn", "file:/etc/my dsn"
    )
    [start] = re.findall("^ExecStart=(.*)$", done.stdout, re.M)
    assert start == (
        f'{sys.executable} -m pgdurable_core.cli worker --sql 8 --python 2 --lease 30 --name "w 1" --health 8008'
        " --log-format json --dsn file:${CREDENTIALS_DIRECTORY}/dsn"
    )
    assert "LoadCredential=dsn:/etc/my dsn\n" in done.stdout
    for options in (["--dsn", "password=secret"], ["--dsn", "env:X"], ["--env", "prod"]):
        refused = printed(*options)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "secret" in refused.stderr.replace("password=secret", "")
    for option in ("--until-idle", "--with-parent"):
        assert (printed(option).returncode, printed(option).stdout) == (2, "")


def test_words_are_quoted_as_systemd_reads_them() -> None:
    unit = systemd_unit(["/opt/x y/pgdurable", "--name", 'a"b\\c%d$e'])
    assert 'ExecStart="/opt/x y/pgdurable" --name "a\\"b\\\\c%%d$$e" --dsn file:${CREDENTIALS_DIRECTORY}/dsn\n' in unit


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_file_is_made_as_linters_ask() -> None:
    found = instructions()
    assert {word for word, _ in found} <= INSTRUCTIONS
    images = [rest.split()[0] for word, rest in found if word == "FROM"]
    assert [image for image in images if not re.search(r":\d[\w.-]*$", image)] == [], "every image has a version"
    assert [rest for word, rest in found if word == "USER"][-1].split(":")[0] not in ("root", "0")
    assert all("--no-cache-dir" in rest for word, rest in found if word == "RUN" and "pip install" in rest)
    assert all(rest.startswith("/") for word, rest in found if word == "WORKDIR")
    [entry] = [rest for word, rest in found if word == "ENTRYPOINT"]
    assert json.loads(entry)[:2] == ["pgdurable", "worker"]
    assert ("STOPSIGNAL", "SIGTERM") in found


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not on this machine")
def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([str(HADOLINT), DEPLOY / "Containerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_container_file_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, target = shlex.split(rest)
        for source in sources:
            there = tmp_path / target / Path(source).name if target == "./" else tmp_path / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, there)
    out = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, tmp_path]
    done = subprocess.run(build, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    [wheel] = out.glob("pgdurable-*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    assert {f"pgdurable_core/worker/deploy/{file.name}" for file in DEPLOY.iterdir()} <= names
    assert "pgdurable_core/sql/functions/12_care/doctor.sql" in names


def test_the_commands_of_the_container_file_do_what_they_say(database: Database, tmp_path: Path) -> None:
    secret = tmp_path / "dsn"
    secret.write_text(f"{database.dsn}\n")
    [entry] = [json.loads(rest) for word, rest in instructions() if word == "ENTRYPOINT"]
    words = [word.replace("/run/secrets/pgdurable_dsn", str(secret)).replace(":8008", ":0") for word in entry[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "pgdurable_core.cli", *words, "--until-idle"], capture_output=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, [line["event"] for line in lines]) == (0, ["health", "ready", "drain", "stopped"])

    [check] = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    _, *probe = json.loads(check[check.index("[") :])
    worker = Worker(WorkerOptions(database.dsn, health=("127.0.0.1", 0), on_event=lambda _: None))
    worker.start()
    try:
        assert worker.wait_ready(20)
        port = str(worker.status().health_url).rpartition(":")[2]
        probe = [sys.executable, *(word.replace("8008", port) for word in probe)]
        assert subprocess.run(probe, capture_output=True, timeout=30).returncode == 0
    finally:
        worker.stop()
        assert worker.wait(30)
    assert subprocess.run(probe, capture_output=True, timeout=30).returncode != 0
