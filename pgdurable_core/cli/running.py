"""`--run`: from files to a finished instance in one command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pgdurable_core.cli.companions import beside, run_worker_beside
from pgdurable_core.cli.deploy import describe
from pgdurable_core.cli.deployment import Change, Names, apply, read_workflow_files
from pgdurable_core.cli.display import ds
from pgdurable_core.cli.fixture import seed
from pgdurable_core.cli.installation import ensure_engine
from pgdurable_core.cli.invocation import Invocation
from pgdurable_core.cli.moments import start_of_today
from pgdurable_core.cli.target import Target, ask, open_client, resolve_target, short_path
from pgdurable_core.cli.watching import follow, short_id
from pgdurable_core.embedded import Embedded, home_folder
from pgdurable_core.engine import Client, InstanceRow, connect
from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.importing import ImportedWorkflow
from pgdurable_core.schema import look
from pgdurable_core.schema.state import refuse_foreign

UNDEFINED = frozenset({"42P01", "3F000", "42883"})  # no such table, schema, function (PostgreSQL appendix A)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run, how it was asked for, and the command to name in advice."""

    workflow: ImportedWorkflow
    folder: Path
    paths: tuple[Path, ...]
    date: datetime | None
    params: Mapping[str, JsonValue]
    fixture: Path | None
    yes: bool
    command: str

    @property
    def logical_date(self) -> datetime:
        """Return the date asked for, else the start of today, so that a run has the dates that its DAG may name."""
        return self.date or start_of_today()


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run came to."""

    instance: InstanceRow
    changes: tuple[Change, ...]
    advice: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def is_success(self) -> bool:
        return self.instance.status == "completed"


def run_imported(invocation: Invocation, request: RunRequest) -> RunOutcome:
    """Deploy an imported workflow, run it once, show it, and say what to try next.

    The worker and the command beside it live in processes of their own and end with this one. Ctrl-C stops them and
    leaves the instance where it is: a worker that is started later finishes it.
    """
    target = resolve_target(invocation, writes=True, near=request.paths, makes=True)
    if request.date is None and target.environment.date is not None:
        request = replace(request, date=target.environment.date)
        said = short_path(target.project.file) if target.project.file is not None else ""
        invocation.say("Date", f"{ds(request.logical_date)}, as {said} says; --date takes another")
    names = _names(target, request.workflow)
    files, _ = read_workflow_files([request.folder / f"{request.workflow.name}.sql"])
    modules = {
        (name, module.digest.removeprefix("sha256:")): module.text for name, module in request.workflow.modules.items()
    }
    _introduce(invocation, target, request, names)
    ensure_engine(invocation, target, quiet=True)
    with ExitStack() as stack:
        if target.environment.beside is not None:
            companion = stack.enter_context(beside(target.environment.beside, target.project.folder))
            companion.wait_ready()
        seeded = _seed(invocation, target, request)
        client = stack.enter_context(open_client(target, "pgdurable run"))
        changes = apply(
            client,
            files,
            names,
            namespace=target.project.namespace,
            search=target.project.python_path,
            modules=modules,
        )
        for change in changes:
            invocation.say("Deployed", str(change))
        places = {change.name: change.namespace for change in changes}
        namespace = places.get(request.workflow.name, target.project.namespace)
        row = _run(invocation, target, request, client, namespace, stack)
    return RunOutcome(row, tuple(changes), tuple(_advice(target, request, row)), _hint(target, row, seeded))


def _introduce(invocation: Invocation, target: Target, request: RunRequest, names: Names) -> None:
    """Say where this goes; on anything but the embedded server also what it does, and ask."""
    if target.is_embedded:
        server = Embedded().server
        invocation.say(
            "Target",
            f"embedded PostgreSQL {server.data.joinpath('PG_VERSION').read_text().strip()} in "
            f"{short_path(home_folder())}, database pgdurable",
        )
        return
    if request.fixture is not None:
        raise UsageError("--fixture is for the embedded server; it is never run anywhere else")
    with connect(target.dsn) as connection:
        standing = look(connection)
        refuse_foreign(standing)
        role = standing.role
    schema = "create schema df" if standing.kind == "nothing" else "bring schema df up to date"
    outside = [f"{task.key} ({task.becomes})" for task in request.workflow.tasks if task.home != "native"]
    effects = f"; outside the database: {', '.join(outside)}" if outside else ""
    lines = [
        f"init      {schema}, as role {role}",
        *describe(target, names, []),
        f"deploy    {request.workflow.name}, paused when new",
        f"run       once, now, for ds {ds(request.logical_date)}{effects}",
    ]
    ask(invocation, target, lines, yes=request.yes)


def _names(target: Target, workflow: ImportedWorkflow) -> Names:
    """Take the environment's names; in the private database a connection that is not mapped means that database."""
    connections = dict(target.environment.connections)
    if target.is_embedded:
        for name in workflow.needs.connections:
            connections.setdefault(name, None)
    return Names(connections, target.environment.variables)


def _seed(invocation: Invocation, target: Target, request: RunRequest) -> bool:
    """Seed the embedded database; say whether a fixture is in it."""
    if not target.is_embedded:
        return True
    file = request.fixture or target.environment.fixture
    if file is None:
        return False
    if seed(Embedded(), file, again=request.fixture is not None):
        invocation.say("Seeded", f"the private database with {short_path(file)}")
    else:
        invocation.say("Seeded", f"before, with the same {short_path(file)} (--fixture {short_path(file)}: again)")
    return True


def _run(
    invocation: Invocation, target: Target, request: RunRequest, client: Client, namespace: str, stack: ExitStack
) -> InstanceRow:
    worker = stack.enter_context(run_worker_beside(target.dsn))
    instance_id = client.start(
        request.workflow.name,
        params=request.params,
        logical_date=request.logical_date,
        reason=f"pgdurable {request.command} --run",
        namespace=namespace,
    )
    params = "".join(f"   {name} {value}" for name, value in request.params.items())
    if not invocation.is_json:
        invocation.put()
        invocation.put(f"{'Run':<10}{short_id(instance_id)}   ds {ds(request.logical_date)}{params}")
    try:
        return follow(invocation, client, instance_id, worker.check, afterword="Nothing is scheduled yet.")
    except KeyboardInterrupt:
        name = short_id(instance_id)
        invocation.say(
            "Stopped",
            f"{request.workflow.name} {name} is kept as it is and goes on when a worker runs:",
            f"pgdurable worker --until-idle{target.flag}, or pgdurable cancel {name}{target.flag}",
        )
        raise


def _hint(target: Target, row: InstanceRow, seeded: bool) -> str | None:
    """Explain the failure that everybody meets first: tables that the private database does not have."""
    state = row.error.get("sqlstate") if isinstance(row.error, Mapping) else None
    if row.status == "failed" and state in UNDEFINED and target.is_embedded and not seeded:
        return "the private database is empty: seed it (--fixture seed.sql) or name yours (--env, --dsn)"
    return None


def _advice(target: Target, request: RunRequest, row: InstanceRow) -> Iterator[str]:
    """Name the commands to try next."""
    name, flag = short_id(row.instance_id), target.flag
    yield f"pgdurable explain {name}{flag}"
    if row.status == "failed":
        yield f"pgdurable logs {name}{f' {row.failed_step}' if row.failed_step else ''}{flag}"
        yield f"pgdurable retry {name}{flag}"
        return
    printing = next((step.key for step in request.workflow.graph.steps if step.run.kind in ("python", "shell")), None)
    if printing is not None:
        yield f"pgdurable logs {name} {printing}{flag}"
    if target.is_embedded:
        yield "pgdurable db psql"
