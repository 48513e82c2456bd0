"""`pgdurable render`: what the steps of a workflow would execute, without running any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.deployment import Names, apply, read_workflow_files
from pgdurable_core.cli.installation import ensure_engine
from pgdurable_core.cli.instances import date_option, param_option, read_params
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import find_workflow, open_client, resolve_target
from pgdurable_core.engine import Client, RenderedRow
from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue

HAS_STATEMENTS = frozenset({"sql", "check", "branch"})


@click.command()
@click.argument("workflow")
@click.argument("step", required=False)
@date_option("By default none: then names of a date stay as they are written.")
@param_option
@common_options
def render(workflow: str, step: str | None, date: datetime | None, params: tuple[str, ...]) -> int:
    """Print what the steps of a workflow would execute for a date and parameters; nothing runs, nothing is written.

    WORKFLOW is a name, or namespace/name, or a workflow file (.sql), which is defined in a transaction that is rolled
    back. SQL comes as one would paste it into psql; what a worker executes (Python, shell) as comments. Names that only
    a run knows stay as they are written, and are named on stderr. Binds are evaluated only for whoever is logged in as
    the role that the step runs as; where that or anything else keeps a text from being known, the exit status is 1.

    \b
    Examples:
      pgdurable render orders_daily --date 2026-11-21
      pgdurable render workflows/orders_daily.sql merge --date 2024-02-29 --param mode=full
      pgdurable render orders_daily merge --date 2026-11-21 --env prod | psql -1 "host=dev-db"
    """
    invocation = current()
    values = read_params(params)
    file = Path(workflow)
    if workflow.endswith(".sql") and (file.is_file() or "/" in workflow):
        rows, me = _from_file(invocation, file, step, date, values)
    else:
        target = resolve_target(invocation, writes=False)
        with open_client(target) as client:
            namespace, name = find_workflow(client, workflow, target.project.namespace)
            rows = client.render(name, step=step, params=values, logical_date=date, namespace=namespace)
            me = client.server().role
    if invocation.is_json:
        invocation.put_json(rows)
    else:
        invocation.put("\n\n".join(_step(list(group), me) for _, group in groupby(rows, lambda row: row.key)))
        _tell(invocation, rows)
    return exits.NO if any(row.problem for row in rows) else exits.DONE


def _from_file(
    invocation: Invocation, file: Path, step: str | None, date: datetime | None, params: Mapping[str, JsonValue]
) -> tuple[list[RenderedRow], str]:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    files, _ = read_workflow_files([file])
    # On the private server nobody has to have typed `init` before.
    is_named = invocation.dsn is not None or invocation.env is not None
    target = resolve_target(invocation, writes=not is_named, near=[file])
    if target.is_embedded:
        ensure_engine(invocation, target, quiet=True)
    names = Names(target.environment.connections, target.environment.variables)
    with open_client(target) as client, client.connection.transaction(force_rollback=True):
        changes = apply(client, files, names, namespace=target.project.namespace, search=target.project.python_path)
        defined = sorted({(change.namespace, change.name) for change in changes})
        if len(defined) != 1:
            known = ", ".join(name for _, name in defined) or "none"
            raise UsageError(f"{file} defines not one workflow: {known}", hint="deploy it, and render one by its name")
        [(namespace, name)] = defined
        if target.is_embedded:
            connect_the_rest(client, name, namespace)
        rows = client.render(name, step=step, params=params, logical_date=date, namespace=namespace)
        return rows, client.server().role


def connect_the_rest(client: Client, name: str, namespace: str) -> list[str]:
    """Let every connection of a workflow that has no meaning yet mean this database; return their names."""
    document = client.document(name, namespace)
    steps = document.get("steps")
    stated = [document.get("defaults"), *(steps if isinstance(steps, Sequence) else [])]
    named = {str(one["connection"]) for one in stated if isinstance(one, Mapping) and one.get("connection")}
    unknown = sorted(named - client.connections(namespace).keys())
    for connection in unknown:
        client.set_connection(connection, None, namespace)
    return unknown


def _step(rows: Sequence[RenderedRow], me: str) -> str:
    """Write a step: a line that says what it is, then its statements; as comments what psql cannot execute."""
    first = rows[0]
    detail = first.detail or {}
    kind = f"{first.kind} {detail['callable']}" if first.kind == "python" else first.kind
    facts = [
        kind if first.class_ in (None, "plain") else f"{kind}, {first.class_}",
        f"once per row of {first.each}" if first.each else "",
        f"as {first.role}" if first.role not in (None, me) else "",
        first.source or "",
    ]
    head = _flat(f"{first.label}: {', '.join(fact for fact in facts if fact)}")
    if first.kind in HAS_STATEMENTS:
        return "\n".join([f"-- {head}", *(_statement(row.text or "") for row in rows)])
    return "\n".join(f"-- {line}" for line in (head, *_of_worker(first)))


def _of_worker(row: RenderedRow) -> Iterator[str]:
    yield from (row.text or "").splitlines()
    for name in ("cwd", "env"):
        value = (row.detail or {}).get(name)
        if row.kind == "shell" and value:
            yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _statement(text: str) -> str:
    """End a statement so that psql sends it: behind a comment the semicolon needs a line of its own."""
    text = text.strip()
    return text + ("\n;" if "--" in text.rpartition("\n")[2] else ";")


def _flat(text: str) -> str:
    """Put a text on one line: what follows a line break in a key or source would be no comment any more."""
    return " ".join(text.split())


def _tell(invocation: Invocation, rows: Sequence[RenderedRow]) -> None:
    problems = dict.fromkeys(f"{row.label}: {row.problem}" for row in rows if row.problem)
    for problem in problems:
        invocation.say("Problem", problem)
    for _, group in groupby(rows, lambda row: row.key):
        of_step = list(group)
        names = dict.fromkeys(name for row in of_step for name in row.open_names)
        if names:
            known = "is known" if len(names) == 1 else "are known"
            invocation.say("Open", f"{of_step[0].label}: {', '.join(names)} {known} only when it runs")
        if of_step[0].kind in HAS_STATEMENTS and any("\\" in (row.text or "") for row in of_step):
            invocation.say("Note", f"{of_step[0].label}: outside of quotes psql takes a backslash for a command")
