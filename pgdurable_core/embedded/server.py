"""A PostgreSQL server of our own in one folder: make it, start it, stop it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import fasteners  # type: ignore[import-untyped]

from pgdurable_core.embedded.accounts import ServerAccount, let_traverse, server_account
from pgdurable_core.embedded.binaries import EMBEDDED_VERSION, find_binaries
from pgdurable_core.errors import SetupError

StopMode = Literal["smart", "fast", "immediate"]

SUPERUSER = "postgres"
PORT = 5432
START_SECONDS = 60
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included (unix(7)).
_LONGEST_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class Running:
    """What `postmaster.pid` says about a live server."""

    pid: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """A private server: `folder` holds its data, its log and its lock, and nothing else.

    It listens on a Unix socket that only its own account and root can reach (on Windows on
    127.0.0.1). Every method may be called by several processes at once; one lock per folder
    orders them. The server outlives the process that started it.
    """

    folder: Path
    binaries: Path = field(default_factory=find_binaries)
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_version(cls, version: int, folder: Path, settings: Mapping[str, str] | None = None) -> Server:
        """Describe a server of a major version in `folder`; nothing is started or written."""
        return cls(folder.absolute(), find_binaries(version), dict(settings or {}))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> bool:
        """Start the server, making its data folder first; say whether it had to be started."""
        with self.locked():
            if self.running() is not None:
                return False
            account = server_account()
            self._prepare(account)
            if not (self.data / "PG_VERSION").exists():
                self._initdb(account)
            self._check_version()
            self._pg_ctl(
                account, "start", "-w", "-t", str(START_SECONDS), "-l", str(self.log), "-o", self._options(account)
            )
            if self.running() is None:
                raise SetupError(f"the server in {self.folder} ended right after its start", hint=f"see {self.log}")
            return True

    def stop(self, mode: StopMode = "fast") -> bool:
        """Stop the server and say whether it was running; `immediate` is a crash, on purpose."""
        if not self.folder.exists():
            return False
        with self.locked():
            if self.running() is None:
                return False
            self._pg_ctl(server_account(), "stop", "-w", "-m", mode)
            return True

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start; after `immediate` the start goes through crash recovery."""
        self.stop(mode)
        self.start()

    def running(self) -> Running | None:
        """Say where the server listens, or None; looks at files and the process, takes no lock."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return None
        # pid, data folder, start time, port, socket folder, host, shared memory, state (miscadmin.h, LOCK_FILE_LINE_*)
        if len(lines) < 8 or not lines[7].startswith("ready") or not _is_alive(int(lines[0])):
            return None
        host, port = lines[4].strip() or lines[5].strip(), int(lines[3])
        if host.startswith("/") and not Path(host, f".s.PGSQL.{port}").exists():
            return None
        return Running(int(lines[0]), host, port)

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a libpq connection string; raises SetupError when the server is not running."""
        running = self.running()
        if running is None:
            raise SetupError(f"the server in {self.folder} is not running", hint="pgdurable db start")
        host = "'" + running.host.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return f"host={host} port={running.port} user={user} dbname={database}"

    def remove(self) -> None:
        """Stop the server at once and delete everything it stored."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock; a second process waits here until the first is done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with fasteners.InterProcessLock(self.folder / "lock"):
            yield

    def _prepare(self, account: ServerAccount | None) -> None:
        if account is None:
            self.folder.chmod(0o700)
            return
        let_traverse(self.folder.parent)
        let_traverse(self.binaries)
        self.folder.chmod(0o711)
        os.chown(self.folder, account.uid, account.gid)

    def _initdb(self, account: ServerAccount | None) -> None:
        # Made under another name first: an initdb that was killed half way leaves no data folder behind.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        locale = ["--locale=C"]
        if _major(self.binaries) >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run(
            account,
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            *locale,
            f"--username={SUPERUSER}",
            "--no-instructions",
            "-D",
            str(fresh),
        )
        fresh.rename(self.data)

    def _check_version(self) -> None:
        stored, ours = (self.data / "PG_VERSION").read_text().strip(), _major(self.binaries)
        if stored != str(ours):
            raise SetupError(
                f"{self.data} was made by PostgreSQL {stored}, the programs in {self.binaries} are {ours}",
                hint="pg_dump the old one, or name another folder with PGDURABLE_HOME",
            )

    def _options(self, account: ServerAccount | None) -> str:
        settings = {"timezone": "UTC", "log_timezone": "UTC", **self.settings}
        if sys.platform == "win32":
            settings |= {"listen_addresses": "127.0.0.1", "port": str(_free_port())}
        else:
            settings |= {
                "listen_addresses": "",
                "port": str(PORT),
                "unix_socket_directories": str(self._socket_folder(account)),
            }
        # pg_ctl hands this to a shell.
        return " ".join(f"-c {name}='{value}'" for name, value in settings.items())

    def _socket_folder(self, account: ServerAccount | None) -> Path:
        if len(os.fsencode(self.data)) + len(f"/.s.PGSQL.{PORT}") <= _LONGEST_SOCKET_PATH and "'" not in str(self.data):
            return self.data
        name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"pgdurable-{name}")
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        elif folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise SetupError(f"{folder} belongs to somebody else", hint="name a shorter PGDURABLE_HOME")
        return folder

    def _pg_ctl(self, account: ServerAccount | None, command: str, *arguments: str) -> None:
        self._run(account, "pg_ctl", command, "-D", str(self.data), *arguments)

    def _run(self, account: ServerAccount | None, program: str, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment["LC_ALL"] = "C"
        # A file, not a pipe: the server would inherit the pipe and keep it open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self.binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
                **(account.as_popen() if account is not None else {}),
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if done.returncode != 0:
            raise SetupError(
                f"{program} {arguments[0] if program == 'pg_ctl' else ''}".strip()
                + f" failed in {self.folder}: {_last_lines(said)}",
                detail=_last_lines(self.log.read_text(errors="replace"), 5) if self.log.exists() else None,
                hint=f"see {self.log}",
            )


def private_server(folder: Path, version: int = EMBEDDED_VERSION, settings: Mapping[str, str] | None = None) -> Server:
    """Start a server of our own in `folder` and return it: for tests and experiments."""
    server = Server.of_version(version, folder, settings)
    server.start()
    return server


def _major(binaries: Path) -> int:
    said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].split(".")[0].removesuffix("devel").split("beta")[0].split("rc")[0])


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        # Signal 0 would end the process on Windows; the listening port is tried by whoever connects.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_lines(text: str, count: int = 2) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-count:])
