"""Run the child that executes DAG files, and hear what it has to say.

The child gets no secrets: passwords, extras and Variables with a telling name are replaced by sentinels, and the import
stops for a file in whose output one of them comes out.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pgdurable_core.errors import ImportFailedError, MissingDependencyError, UsageError
from pgdurable_core.importing.protocol import ReadOptions

CHILD: Final = Path(__file__).with_name("child.py")
SENTINEL: Final = "pgdurable-sentinel"

# Airflow masks values whose key holds one of these words (airflow/_shared/secrets_masker, DEFAULT_SENSITIVE_FIELDS).
_SENSITIVE: Final = re.compile(
    "access_token|api_?key|authorization|passphrase|passwd|password|private_key|proxies|secret|token|keyfile"
    "|service_account",
    re.I,
)

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to execute, and the folders its sibling modules are imported from; the first is the dags folder."""

    path: Path
    roots: tuple[Path, ...]

    @property
    def shown(self) -> str:
        """Write the path as a person knows it: from the dags folder on, with the folder's own name."""
        return f"{self.roots[0].name}/{self.path.relative_to(self.roots[0]).as_posix()}"


@dataclass(slots=True)
class Session:
    """What the child said: about itself, then two answers per file, one for each pass."""

    airflow: str = ""
    python: str = ""
    config: JsonObject = field(default_factory=dict)
    base_parameters: frozenset[str] = frozenset()
    answers: dict[str, list[JsonObject]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sources:
    """Variables and Connections as the child may see them: no secret among them."""

    variables: Mapping[str, str]
    connections: Mapping[str, JsonObject]


def execute(
    jobs: Sequence[Job], options: ReadOptions, as_of: datetime, *, render: Sequence[datetime] = (), twice: bool = True
) -> Session:
    """Execute every file and collect the facts.

    Raises MissingDependencyError when the interpreter cannot import Airflow, UsageError when an input file is wrong.
    """
    sources = read_sources(options)
    python = str(options.python or sys.executable)
    with tempfile.TemporaryDirectory(prefix="pgdurable-airflow-") as home:
        request: JsonObject = {
            "jobs": [{"path": str(job.path), "roots": [str(root) for root in job.roots]} for job in jobs],
            "instant": as_of.astimezone(UTC).timestamp(),
            "variables": dict(sources.variables),
            "connections": {name: dict(fields) for name, fields in sources.connections.items()},
            "time_limit": options.time_limit,
            "memory_limit": options.memory_limit,
            "render": [moment.astimezone(UTC).timestamp() for moment in render],
            "twice": twice,
            "log": str(Path(home) / "child.log"),
        }
        beside = jobs[0].roots[0].parent if jobs else None
        lines, log = _converse(python, request, _environment(Path(home), options, beside))
    return _session(lines, log, python)


def read_sources(options: ReadOptions) -> Sources:
    """Read Variables and Connections, of the environment and then of files, with sentinels where secrets stand."""
    variables: dict[str, str] = {}
    connections: dict[str, JsonObject] = {}
    for name, text in os.environ.items():
        if name.startswith("AIRFLOW_VAR_"):
            key = name.removeprefix("AIRFLOW_VAR_").lower()
            variables[key] = f"{SENTINEL}-variable-{key}" if _SENSITIVE.search(key) else text
        elif name.startswith("AIRFLOW_CONN_"):
            key = name.removeprefix("AIRFLOW_CONN_").lower()
            connections[key] = _connection(key, text)
    if options.variables is not None:
        for key, value in _mapping(options.variables).items():
            text = value if isinstance(value, str) else json.dumps(value)
            variables[key] = f"{SENTINEL}-variable-{key}" if _SENSITIVE.search(key) else text
    if options.connections is not None:
        for key, value in _mapping(options.connections).items():
            connections[key] = _connection(key, value)
    return Sources(variables, connections)


def find_config(options: ReadOptions, beside: Path | None = None) -> Path | None:
    """Say which airflow.cfg holds: the one given, that of AIRFLOW_CONFIG or AIRFLOW_HOME, or one `beside` the dags."""
    if options.config is not None:
        if not options.config.is_file():
            raise UsageError(f"there is no file {options.config}", hint="--airflow-cfg names an airflow.cfg.")
        return options.config.resolve()
    named = os.environ.get("AIRFLOW_CONFIG")
    home = os.environ.get("AIRFLOW_HOME")
    for candidate in (
        Path(named) if named else None,
        Path(home) / "airflow.cfg" if home else None,
        beside / "airflow.cfg" if beside else None,
    ):
        if candidate is not None and candidate.is_file():
            return candidate.resolve()
    return None


def _mapping(path: Path) -> JsonObject:
    try:
        text = path.read_text(encoding="utf-8")
        value = _yaml(path, text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}", hint="`airflow variables export` writes it.") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold a JSON object, one entry per name")
    return value


def _yaml(path: Path, text: str) -> object:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(f"{path} is YAML", hint="pip install pyyaml, or give JSON.") from error
    try:
        found: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return found


def _connection(name: str, value: object) -> JsonObject:
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        parts = urlsplit(value)
        given: JsonObject = {
            "conn_type": parts.scheme,
            "host": unquote(parts.hostname) if parts.hostname else None,
            "login": unquote(parts.username) if parts.username else None,
            "password": parts.password,
            "schema": unquote(parts.path.lstrip("/")) or None,
            "port": parts.port,
            "extra": dict(parse_qsl(parts.query)) or None,
        }
    else:
        given = json.loads(value) if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    shown: JsonObject = {key: given.get(key) for key in ("conn_type", "host", "login", "schema", "port")}
    if given.get("password"):
        shown["password"] = f"{SENTINEL}-connection-{name}-password"
    extra = given.get("extra")
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            extra = {"extra": extra}
    if isinstance(extra, Mapping):
        shown["extra"] = {key: f"{SENTINEL}-connection-{name}-{key}" for key in extra}
    return shown


def environment_for() -> dict[str, str]:
    """Return the caller's environment as a DAG file may see it: without Airflow's secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "PG")) and not _SENSITIVE.search(name)
    }


def _environment(home: Path, options: ReadOptions, beside: Path | None) -> dict[str, str]:
    """Give the child the caller's environment without Airflow's secrets, and its own home so that nothing is written.

    Names that hold secrets by Airflow's own convention (AIRFLOW_CONN_*, AIRFLOW_VAR_*, *_SECRET) are left out.
    """
    environment = environment_for()
    environment |= {
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "100",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__SECRETS__BACKEND": "",
        "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
    }
    # The child has a home of its own; plugins stay where the user's Airflow has them.
    for folder in (os.environ.get("AIRFLOW_HOME"), beside):
        if folder and (Path(folder) / "plugins").is_dir():
            environment.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(Path(folder) / "plugins"))
    config = find_config(options, beside)
    environment["AIRFLOW_CONFIG"] = str(config if config is not None else home / "airflow.cfg")
    return environment


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    try:
        yield read_end, write_end
    finally:
        os.close(read_end)


def _converse(python: str, request: JsonObject, environment: dict[str, str]) -> tuple[list[JsonObject], str]:
    with _pipe() as (read_end, write_end):
        request["fd"] = write_end
        try:
            # -P (or -I) would hide the user's modules; the child takes its own folder off the path instead.
            process = subprocess.Popen(
                [python, str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(write_end,),
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            os.close(write_end)
            raise UsageError(f"cannot run {python}: {error.strerror}", hint="--airflow-python names it.") from error
        os.close(write_end)
        errors: list[bytes] = []
        assert process.stdin is not None
        assert process.stderr is not None
        drain = threading.Thread(target=lambda stream: errors.append(stream.read()), args=(process.stderr,))
        drain.start()
        try:
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
            with os.fdopen(os.dup(read_end), "r", encoding="utf-8") as channel:
                lines = [json.loads(line) for line in channel]
        except BrokenPipeError:
            lines = []
        except BaseException:
            # Ctrl-C above all: the child may be writing into a pipe that nobody reads any more
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            process.wait()
            drain.join()
            process.stderr.close()
    log = Path(request["log"])
    text = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
    return lines, b"".join(errors).decode(errors="replace")[-2000:] + text


def _session(lines: Sequence[JsonObject], log: str, python: str) -> Session:
    session = Session()
    ended = False
    for line in lines:
        match line["kind"]:
            case "no_airflow":
                raise MissingDependencyError(
                    f"{python} (Python {line['python']}) cannot import Airflow",
                    detail=str(line["message"]),
                    hint="Name an interpreter that can with --airflow-python, or: pip install 'pgdurable[airflow]'.",
                )
            case "ready":
                session.airflow, session.python = line["airflow"], line["python"]
                session.config = line["config"]
                session.base_parameters = frozenset(line["base_parameters"])
            case "file":
                session.answers.setdefault(line["path"], []).append(line)
            case "end":
                ended = True
    if not ended:
        raise ImportFailedError(f"the child that executes DAG files ({python}) ended early", detail=log.strip() or None)
    return session
