"""`pgdurable import`: read workflows of another system, write them as SQL, and run them when asked."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import copy
from datetime import datetime
from pathlib import Path

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.instances import date_option, param_option, read_date, read_params, refuse_undeclared
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.project import find_project
from pgdurable_core.cli.running import RunRequest, run_imported
from pgdurable_core.cli.target import short_path
from pgdurable_core.errors import PgDurableError, UsageError
from pgdurable_core.importing import (
    ImportedWorkflow,
    Leftover,
    ReadOptions,
    ReadResult,
    WriteResult,
    importer_names,
    load_importer,
    remove_leftovers,
    render_json,
    render_markdown,
    render_terminal,
    write_workflows,
)

SHOWN = 10


class ImportGroup(click.Group):
    """One command for every importer that is installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(importer_names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in importer_names() else None


@click.group("import", cls=ImportGroup)
def import_group() -> None:
    """Read workflows of another system and write them as SQL files one would be glad to own."""


def _command(name: str) -> click.Command:
    return click.Command(
        name,
        callback=lambda **options: _import(name, **options),
        params=[_named(param, name) for param in _template.params],
        help=_HELP.format(name=name, system=name.title()),
        short_help=f"Read {name.title()} files; --run runs the result at once.",
    )


def _named(param: click.Parameter, name: str) -> click.Parameter:
    """Take a parameter of the template with the system's name in its help."""
    own = copy(param)
    if isinstance(own, click.Option) and own.help:
        own.help = own.help.format(system=name.title())
    return own


_HELP = """Read {system} files or folders, write a SQL file per workflow and a report.

    Every task is accounted for in the report: what became of it, how faithfully, and why. A file that a person edited
    is never overwritten; an unchanged source changes nothing; what an earlier import wrote and this one does not mean
    is removed, unless somebody edited it. A workflow with a blocked task is written as a draft,
    which deploy leaves out; the exit status is then 1.

    With --run: starts the embedded PostgreSQL, installs the engine, seeds it with the fixture of pgdurable.toml,
    deploys the workflow (paused), runs it once and shows every step. With --env or --dsn it does so there, after
    showing what it would do and asking.

    \b
    Examples:
      pgdurable import {name} dags/orders_daily.py
      pgdurable import {name} dags/ --dag orders_daily --out workflows/
      pgdurable import {name} dags/orders_daily.py --run --date 2026-11-21 --param mode=full
      pgdurable import {name} dags/orders_daily.py --run --env dev
    """

_path = click.Path(exists=True, path_type=Path)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_path)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write to this folder.")
@click.option("--dag", "--only", "names", multiple=True, metavar="NAME", help="Read only this workflow; repeatable.")
@click.option("--airflow-python", "--python", "python", type=_file, help="Read with the {system} of this Python.")
@click.option("--airflow-cfg", "--config", "config", type=_file, help="Go by this configuration of {system}.")
@click.option("--variables", type=_file, help="Take {system}'s Variables from this JSON or YAML.")
@click.option("--connections", type=_file, help="Take {system}'s Connections from this JSON or YAML.")
@click.option("--as-of", callback=read_date, metavar="DATE", help="Set the clock to this while files are read.")
@click.option("--slice-code", is_flag=True, help="Copy callables that can stand alone out of their module.")
@click.option("--run", "run", is_flag=True, help="Deploy the result and run it once.")
@date_option("By default the start of today.")
@param_option
@click.option("--fixture", type=_path, help="Seed the embedded database with this SQL, again if need be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def _template() -> None:
    """Hold the parameters that the command of every importer has."""


def _import(
    importer: str,
    *,
    paths: tuple[Path, ...],
    out: Path | None,
    names: tuple[str, ...],
    python: Path | None,
    config: Path | None,
    variables: Path | None,
    connections: Path | None,
    as_of: datetime | None,
    slice_code: bool,
    run: bool,
    date: datetime | None,
    params: tuple[str, ...],
    fixture: Path | None,
    yes: bool,
) -> int:
    invocation = current()
    if not run and (date or params or fixture):
        raise UsageError("--date, --param and --fixture are for --run")
    folder = out or default_folder(paths)
    options = ReadOptions(
        names=names,
        python=python,
        config=config,
        variables=variables,
        connections=connections,
        as_of=as_of,
        slice_code=slice_code,
        folder=folder_in_project(folder, paths),
    )
    with invocation.err.status(f"reading {', '.join(short_path(path) for path in paths)}"):
        result = load_importer(importer).read(paths, options)
    if not result.imports and not result.failures:
        raise UsageError("there is no workflow in these files", hint=f"names asked for: {', '.join(names) or 'all'}")
    if not invocation.is_json:
        render_terminal(invocation.out, result)
    written = write_workflows(result, folder, report=render_markdown(result, options.folder))
    left = remove_leftovers(result, folder, written)
    _tell_files(invocation, folder, written)
    _tell_leftovers(invocation, left)
    status = exits.NO if result.is_blocked or written.conflicts else exits.DONE
    if not run:
        if invocation.is_json:
            invocation.put_json({"import": json.loads(render_json(result)), "files": _files(written, left)})
        _advise(invocation, result, folder)
        return status
    workflow = _one(result)
    if written.conflicts:
        raise UsageError("a file a person edited differs from what was imported; nothing was run")
    given = read_params(params)
    refuse_undeclared(workflow.name, given, workflow.graph.params)
    request = RunRequest(workflow, folder, paths, date, given, fixture, yes, f"import {importer}")
    outcome = run_imported(invocation, request)
    if invocation.is_json:
        document = {"import": json.loads(render_json(result)), "files": _files(written, left), "run": outcome}
        invocation.put_json(document)
    if outcome.hint is not None:
        invocation.say("Hint", outcome.hint)
    _decisions(invocation, [workflow])
    invocation.say("Next", *outcome.advice)
    return status if outcome.is_success else exits.NO


def default_folder(paths: Sequence[Path]) -> Path:
    """Return where to write: `workflows` beside pgdurable.toml, else beside the dags folder, else beside the file."""
    project = find_project(paths)
    if project.file is not None:
        return project.file.parent / "workflows"
    place = paths[0].absolute()
    for folder in (place, *place.parents):
        if folder.name == "dags":
            return folder.parent / "workflows"
    return (place if place.is_dir() else place.parent) / "workflows"


def folder_in_project(folder: Path, paths: Sequence[Path]) -> str:
    """Write a folder as files name it: from the project's folder, the same on every machine that has the project."""
    project = find_project(paths)
    base = default_folder(paths).parent if project.file is None else project.file.parent
    return Path(os.path.relpath(folder.absolute(), base)).as_posix()


def _one(result: ReadResult) -> ImportedWorkflow:
    if len({workflow.name for workflow in result.imports}) != 1:
        found = ", ".join(workflow.name for workflow in result.imports) or "none"
        raise UsageError(f"--run runs one workflow; there are: {found}", hint="name it with --dag")
    workflow = result.imports[0]
    if workflow.is_blocked:
        blocked = ", ".join(task.key for task in workflow.tasks if task.fidelity == "blocked")
        raise BlockedError(f"{workflow.name} is not run: blocked {blocked or 'as a whole'}", hint="see the report")
    return workflow


class BlockedError(PgDurableError):
    """A workflow with a blocked task is neither deployed nor run."""


def _tell_files(invocation: Invocation, folder: Path, written: WriteResult) -> None:
    counts = [
        f"{len(paths)} {what}"
        for what, paths in (
            ("written", written.written),
            ("unchanged", written.unchanged),
            ("left alone", written.kept),
        )
        if paths
    ]
    names = [short_name(path, folder) for path in (*written.written, *written.unchanged, *written.kept)]
    if names:
        invocation.say("Wrote", f"{short_path(folder)}/: {'  '.join(names)}   ({', '.join(counts)})")
    for conflict in written.conflicts:
        invocation.say(
            "Conflict", f"{short_path(conflict.path)} was edited and its source changed; nothing was written"
        )
        invocation.err.print(conflict.diff, markup=False)


def _tell_leftovers(invocation: Invocation, left: Sequence[Leftover]) -> None:
    for label, is_removed, more in (
        ("Removed", True, ""),
        ("Left over", False, "; it stays, delete it if it is not yours"),
    ):
        lines = [f"{short_path(one.path)}: {one.why}{more}" for one in left if one.is_removed == is_removed]
        if lines:
            rest = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            invocation.say(label, *lines[:SHOWN], *rest)


def short_name(path: Path, folder: Path) -> str:
    """Write a path relative to the folder it was written to."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _files(written: WriteResult, left: Sequence[Leftover]) -> dict[str, list[str]]:
    return {
        "written": [str(path) for path in written.written],
        "unchanged": [str(path) for path in written.unchanged],
        "kept": [str(path) for path in written.kept],
        "conflicts": [str(conflict.path) for conflict in written.conflicts],
        "removed": [str(one.path) for one in left if one.is_removed],
        "left_over": [str(one.path) for one in left if not one.is_removed],
    }


def _advise(invocation: Invocation, result: ReadResult, folder: Path) -> None:
    _decisions(invocation, result.imports)
    ready = [workflow for workflow in result.imports if not workflow.is_blocked]
    if ready:
        invocation.say("Next", f"pgdurable deploy {short_path(folder)}/ --env NAME", "or once, here and now: --run")


def _decisions(invocation: Invocation, workflows: Sequence[ImportedWorkflow]) -> None:
    found = [
        (f"{finding.task or workflow.name}, {finding.place}", finding.code)
        for workflow in workflows
        for finding in workflow.findings
        if finding.weight in ("decide", "blocked")
    ]
    width = max((len(what) for what, _ in found), default=0)
    lines = [f"{what:<{width}}     pgdurable finding {code}" for what, code in found]
    if lines:
        invocation.say("Decide", *lines[:5], *([f"and {len(lines) - 5} more in the report"] if len(lines) > 5 else []))
