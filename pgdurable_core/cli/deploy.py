"""`pgdurable deploy`: carry workflow files into a database."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.deployment import Change, Names, apply, differs, gone, read_workflow_files
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.project import FILE_NAME
from pgdurable_core.cli.target import Target, ask, open_client, resolve_target, short_path
from pgdurable_core.engine import MissingConnectionRow

SHOWN = 10


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--check", is_flag=True, help="Like --dry-run, and exit 1 when the database differs: for CI.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def deploy(paths: tuple[Path, ...], dry_run: bool, check: bool, yes: bool) -> int:
    """Deploy workflow files: one transaction, all or nothing.

    A new workflow with a schedule is paused: this version runs no schedules. An unchanged file changes nothing. Pinned
    Python modules go along, found by content. Connections and variables come from the environment in pgdurable.toml. A
    draft (NAME.sql.draft) holds a blocked task and is not deployed. A workflow that names a connection which the
    database does not know is deployed, and cannot start: every such step is named, and --check ends with 1.

    \b
    Examples:
      pgdurable deploy workflows/orders_daily.sql --env dev
      pgdurable deploy workflows/ --env prod --dry-run
      pgdurable deploy workflows/ --env prod --check          in CI
    """
    invocation = current()
    target = resolve_target(invocation, writes=not (dry_run or check), near=paths)
    files, drafts = read_workflow_files(paths)
    names = Names(target.environment.connections, target.environment.variables)
    is_trial = dry_run or check
    with open_client(target) as client:
        plan = apply(
            client,
            files,
            names,
            namespace=target.project.namespace,
            search=target.project.python_path,
            dry_run=True,
        )
        extra = gone(client, plan, target.project.namespace) if any(path.is_dir() for path in paths) else []
        namespaces = {change.namespace for change in plan}
        is_different = any(change.fate != "unchanged" for change in plan) or any(
            differs(client, names, namespace) for namespace in namespaces
        )
        missing = [row for change in plan for row in change.missing_connections]
        _tell_missing(invocation, target, missing)
        if is_trial:
            _print(invocation, [*plan, *extra])
        elif is_different:
            ask(invocation, target, describe(target, names, plan), yes=yes)
            plan = apply(client, files, names, namespace=target.project.namespace, search=target.project.python_path)
            _print(invocation, [*plan, *extra])
        else:
            _print(invocation, [*plan, *extra])
    for draft in drafts:
        invocation.say("Blocked", f"{draft} holds a blocked task and was not deployed")
    if drafts or (check and (is_different or extra or missing)):
        return exits.NO
    return exits.DONE


def describe(target: Target, names: Names, plan: Sequence[Change]) -> list[str]:
    """Say in lines what a deployment would do."""
    lines = [
        f"{name} -> this database, {'as whoever starts' if role is None else f'role {role}'}"
        for name, role in names.connections.items()
    ]
    if names.variables:
        lines.append(f"variables {', '.join(names.variables)}")
    if target.project.file is not None and lines:
        lines[-1] += f" ({target.project.file.name})"
    return [*lines, *(f"deploy    {change}" for change in plan)]


def _tell_missing(invocation: Invocation, target: Target, missing: Sequence[MissingConnectionRow]) -> None:
    """Name what cannot start, step by step, and what mends it."""
    if not missing:
        return
    lines = [
        f"{row.workflow} {row.key}: connection {row.connection} is not known there"
        + (f" ({row.source})" if row.source else "")
        for row in missing
    ]
    more = [f"and {len(lines) - SHOWN} more steps"] if len(lines) > SHOWN else []
    invocation.say("Missing", *lines[:SHOWN], *more, "until it is, start refuses what names it")
    names = list(dict.fromkeys((row.namespace, row.connection) for row in missing))
    environment = target.environment.name
    if environment:
        where = FILE_NAME if target.project.file is None else short_path(target.project.file)
        keys = [f'{_toml_key(name)} = "here"' for _, name in names]
        mend = [f"[environments.{environment}.connections] in {where}:", *dict.fromkeys(keys), "or by hand:"]
    else:
        mend = []
    calls = [
        f"select df.set_connection({_literal(name)}"
        + ("" if namespace == "default" else f", namespace => {_literal(namespace)}")
        + ")"
        for namespace, name in names
    ]
    invocation.say("Mend", *mend, *calls)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _print(invocation: Invocation, changes: Sequence[Change]) -> None:
    if invocation.is_json:
        invocation.put_json(list(changes))
        return
    for change in changes:
        invocation.put(str(change))
