"""`pgdurable import`: read workflows of another system, write them as SQL, and run them when asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from pathlib import Path

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.instances import date_option, param_option, read_date, read_params, refuse_undeclared
from pgdurable_core.cli.invocation import Command, Invocation, common_options, current
from pgdurable_core.cli.project import find_project
from pgdurable_core.cli.target import short_path
from pgdurable_core.errors import PgDurableError, UsageError
from pgdurable_core.importing import (
    FAIL_ON,
    FailOn,
    Gates,
    ImportedWorkflow,
    Leftover,
    ReadFailure,
    ReadOptions,
    ReadResult,
    WriteResult,
    importer_names,
    load_importer,
    make_report,
    remove_leftovers,
    render_json,
    render_terminal,
    report_files,
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

    The files are executed by the {system} that is installed. With --static, and where none is installed, nothing of
    them runs: they are read by their syntax, and what that cannot tell is said at its line and blocked.

    Every task is accounted for in the report: what became of it, how faithfully, and why. A file that a person edited
    is never overwritten; an unchanged source changes nothing; what an earlier import wrote and this one does not mean
    is removed, unless somebody edited it. A workflow with a blocked task is written as a draft, which deploy leaves
    out.

    For CI: the exit status is 1 when a file failed, when a person's file is in the way, or when a gate does not hold.
    Without a gate nothing may be blocked. --fail-under 80 wants a home for 80 % of all tasks, and lets the others be
    blocked; --fail-on blocked wants one for each; --fail-on review also wants nothing left to decide. With both, both
    must hold. All files are written whatever the gates say, and --run runs nothing then.

    With --format json, stdout carries report.json; `pgdurable report` shows it again.

    With --run: starts the embedded PostgreSQL, installs the engine, seeds it with the fixture of pgdurable.toml,
    deploys the workflow (paused), runs it once and shows every step. With --env or --dsn it does so there, after
    showing what it would do and asking.

    \b
    Examples:
      pgdurable import {name} dags/orders_daily.py
      pgdurable import {name} dags/ --dag orders_daily --out workflows/
      pgdurable import {name} dags/orders_daily.py --static
      pgdurable import {name} dags/orders_daily.py --run --date 2026-11-21 --param mode=full
      pgdurable import {name} dags/orders_daily.py --run --env dev
      pgdurable import {name} dags/ --fail-under 80
    """

_path = click.Path(exists=True, path_type=Path)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_percent = click.FloatRange(0, 100)


def _limit(name: str, kind: click.FloatRange | click.IntRange, unit: str, text: str) -> Callable[[Command], Command]:
    careful = getattr(ReadOptions(), name.strip("-").replace("-", "_"))
    return click.option(name, type=kind, default=careful, show_default=True, metavar=unit, help=text)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_path)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write to this folder.")
@click.option("--dag", "--only", "names", multiple=True, metavar="NAME", help="Read only this workflow; repeatable.")
@click.option("--airflow-python", "--python", "python", type=_file, help="Read with the {system} of this Python.")
@click.option("--airflow-cfg", "--config", "config", type=_file, help="Go by this configuration of {system}.")
@click.option("--variables", type=_file, help="Take {system}'s Variables from this JSON or YAML.")
@click.option("--connections", type=_file, help="Take {system}'s Connections from this JSON or YAML.")
@click.option("--as-of", callback=read_date, metavar="DATE", help="Set the clock to this while files are read.")
@_limit("--time-limit", click.FloatRange(0, min_open=True), "SECONDS", "Stop a file that runs longer.")
@_limit("--memory-limit", click.IntRange(1), "MIB", "Stop a file that takes more memory.")
@click.option("--slice-code", is_flag=True, help="Copy callables that can stand alone out of their module.")
@click.option("--static", is_flag=True, help="Run no code of the files: read their syntax alone, without {system}.")
@click.option("--fail-under", type=_percent, metavar="PERCENT", help="Exit 1 when a smaller share of tasks has a home.")
@click.option("--fail-on", type=click.Choice(FAIL_ON), help="Exit 1 when anything is left to decide, or is blocked.")
@click.option("--run", "run", is_flag=True, help="Deploy the result and run it once.")
@date_option("By default the environment's, else the start of today.")
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
    time_limit: float,
    memory_limit: int,
    slice_code: bool,
    static: bool,
    fail_under: float | None,
    fail_on: FailOn | None,
    run: bool,
    date: datetime | None,
    params: tuple[str, ...],
    fixture: Path | None,
    yes: bool,
) -> int:
    invocation = current()
    if static and python is not None:
        raise UsageError("--static runs no Python, so it goes without --airflow-python")
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
        static=static,
        time_limit=time_limit,
        memory_limit=memory_limit,
        folder=folder_in_project(folder, paths),
    )
    with invocation.err.status(f"reading {', '.join(short_path(path) for path in paths)}"):
        result = load_importer(importer).read(paths, options)
    if not result.imports and not result.failures:
        where = ", ".join(short_path(path) for path in paths)
        raise UsageError(f"there is no workflow in {where}", hint="Nothing was written. A file must define one.")
    report = make_report(result, options.folder)
    if not invocation.is_json:
        render_terminal(invocation.out, report)
    written = write_workflows(result, folder, report_files(report))
    left = remove_leftovers(result, folder, written)
    _tell_files(invocation, folder, written)
    _tell_leftovers(invocation, left)
    gates = Gates(fail_under, fail_on)
    objections = gates.objections(report)
    status = exits.NO if objections or written.conflicts else exits.DONE
    if not run:
        if invocation.is_json:
            invocation.put_text(render_json(report))
        _advise(invocation, result, folder)
        if gates.is_given:
            invocation.say("Gate", *objections)
        return status
    workflow = _one(result)
    if gates.is_given and objections:
        invocation.say("Gate", *objections, "nothing was run")
        return status
    if written.conflicts:
        raise UsageError("a file a person edited differs from what was imported; nothing was run")
    # Engine, worker and server are loaded for those who run something alone.
    from pgdurable_core.cli.running import RunRequest, run_imported

    given = read_params(params)
    refuse_undeclared(workflow.name, given, workflow.graph.params)
    request = RunRequest(workflow, folder, paths, date, given, fixture, yes, f"import {importer}")
    outcome = run_imported(invocation, request)
    if invocation.is_json:
        invocation.put_json({**json.loads(render_json(report)), "run": outcome})
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
    shown = names if len(names) <= SHOWN else [*names[:SHOWN], f"and {len(names) - SHOWN} more"]
    if names:
        invocation.say("Wrote", f"{short_path(folder)}/: {'  '.join(shown)}   ({', '.join(counts)})")
    for conflict in written.conflicts:
        invocation.say("Conflict", f"{short_path(conflict.path)} {conflict.why}; nothing of it was written")
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


def _advise(invocation: Invocation, result: ReadResult, folder: Path) -> None:
    _decisions(invocation, result.imports, result.failures)
    ready = [workflow for workflow in result.imports if not workflow.is_blocked]
    if ready:
        invocation.say("Next", f"pgdurable deploy {short_path(folder)}/ --env NAME", "or once, here and now: --run")


def _decisions(
    invocation: Invocation, workflows: Sequence[ImportedWorkflow], failures: Sequence[ReadFailure] = ()
) -> None:
    found = [(failure.finding.place or failure.path, failure.finding.code) for failure in failures]
    found += [
        (f"{finding.task or workflow.name}, {finding.place}", finding.code)
        for workflow in workflows
        for finding in workflow.findings
        if finding.weight in ("decide", "blocked")
    ]
    width = max((len(what) for what, _ in found), default=0)
    lines = [f"{what:<{width}}     pgdurable finding {code}" for what, code in found]
    if lines:
        invocation.say("Decide", *lines[:5], *([f"and {len(lines) - 5} more in the report"] if len(lines) > 5 else []))
