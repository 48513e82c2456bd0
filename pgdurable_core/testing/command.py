"""`pgdurable test`: run workflows in a database that is made for it and dropped after it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.deployment import DRAFT
from pgdurable_core.cli.display import ds, one_line
from pgdurable_core.cli.instances import date_option, param_option, read_params
from pgdurable_core.cli.invocation import Invocation, common_options, current
from pgdurable_core.cli.target import DeclinedError, Target, ask, find_workflow, open_client, resolve_target, short_path
from pgdurable_core.cli.watching import follow, short_id
from pgdurable_core.engine import Client
from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.testing.expectations import differences, read_expectation
from pgdurable_core.testing.places import KEPT, PREFIX, Place, embedded_place, named_place
from pgdurable_core.testing.stubs import read_stub
from pgdurable_core.testing.trial import Run, Trial, Workflow, open_trial
from pgdurable_core.worker.child import freeze

UNDEFINED = frozenset({"42P01", "3F000", "42883"})  # no such table, schema, function (PostgreSQL appendix A)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("workflows", nargs=-1, required=True, metavar="WORKFLOW_OR_FILE...")
@click.option("--fixture", "fixtures", multiple=True, type=_file, help="Run this SQL with psql first; repeatable.")
@click.option("--stub", "stubs", multiple=True, metavar="STEP=FILE", help="Give a step this result; FILE or JSON.")
@date_option("By default the environment's, else the start of today.")
@param_option
@click.option("--expect", type=_file, help="Compare with this: .json (states, results) or .sql (true or not).")
@click.option("--clone", is_flag=True, help="Begin with a copy of the target's tables; nobody may be connected to it.")
@click.option("--keep", is_flag=True, help="Keep the database, and say where it is.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
def test(
    workflows: tuple[str, ...],
    fixtures: tuple[Path, ...],
    stubs: tuple[str, ...],
    date: datetime | None,
    params: tuple[str, ...],
    expect: Path | None,
    clone: bool,
    keep: bool,
    yes: bool,
) -> int:
    """Run workflows for real, in a database that is made for it and dropped after it; exit 1 when one fails.

    WORKFLOW_OR_FILE is a workflow file (.sql), a folder of them, or the name of a deployed workflow, whose definition
    is then read from the target. The database is made on the embedded server, or, with --dsn or --env, beside the one
    that is named, which is not touched. Without --fixture the fixture of pgdurable.toml is taken. Every connection
    means the new database. Failed attempts are tried again at once.

    A stubbed step ends with the result given, in the shape of its kind: SQL steps with rows (a JSON list of objects),
    Python and shell steps with the JSON as it is, a check also with true or false, a branch with a key. Python and
    shell steps that are not stubbed run for real: they are named, and asked about.

    \b
    Examples:
      pgdurable test workflows/orders_daily.sql --fixture seed.sql --stub erp_batch=3 --date 2026-11-21
      pgdurable test workflows/ --stub erp_batch=erp.json --expect after.sql --yes
      pgdurable test orders_daily --env dev --clone --param mode=full
    """
    invocation = current()
    values = read_params(params)
    fixed = dict(read_stub(stub) for stub in stubs)
    expected = None if expect is None else read_expectation(expect)
    paths, names = _sort(workflows)
    target = resolve_target(invocation, writes=True, near=paths, makes=True)
    place = embedded_place() if target.is_embedded else named_place(target.dsn, target.place)
    _introduce(invocation, target, place, clone=clone, yes=yes)
    environment = target.environment
    seeds = list(fixtures) or ([environment.fixture] if environment.fixture is not None and not clone else [])
    swept = place.sweep()
    if swept:
        invocation.say("Removed", f"{', '.join(swept)}, left by tests that were killed")
    with ExitStack() as stack:
        copy_of = _database_of(target) if clone else None
        trial = stack.enter_context(open_trial(place, target.project, environment, copy_of=copy_of, keep=keep))
        found = _collect(trial, target, paths, names, is_copy=clone)
        trial.stub(fixed)
        for key, value in fixed.items():
            invocation.say("Stubbed", f"{key} ends with {one_line(_shown(value), 80)}")
        _ask_outside(invocation, trial.outside(), yes=yes)
        for seed in seeds:
            trial.seed(seed)
            invocation.say("Seeded", short_path(seed))
        runs = [_run(invocation, trial, workflow, date, values) for workflow in found]
        wrong = {run: list(differences(run, expected)) for run in runs} if expected is not None else {}
        _tell(invocation, runs, wrong, is_seeded=bool(seeds) or clone)
        status_is_expected = isinstance(expected, Mapping) and "status" in expected
        drafts = [draft for path in paths if path.is_dir() for draft in sorted(path.glob(f"*{DRAFT}"))]
        for draft in drafts:
            invocation.say("Blocked", f"{short_path(draft)} holds a blocked task and was not tested")
        is_good = (
            not drafts
            and all(run.status == "completed" or status_is_expected for run in runs)
            and not any(wrong.values())
        )
        if invocation.is_json:
            invocation.put_json([_as_json(run, wrong.get(run, [])) for run in runs])
    if keep:
        kept = place.dsn(KEPT + trial.database.removeprefix(PREFIX))
        invocation.say("Kept", f'psql "{kept}"')
    return exits.DONE if is_good else exits.NO


def _sort(workflows: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Tell files and folders from names."""
    paths: list[Path] = []
    names: list[str] = []
    for text in workflows:
        path = Path(text)
        if path.is_dir() or path.is_file():
            paths.append(path)
        elif text.endswith(".sql"):
            raise UsageError(f"there is no file {text}")
        else:
            names.append(text)
    return paths, names


def _introduce(invocation: Invocation, target: Target, place: Place, *, clone: bool, yes: bool) -> None:
    what = f"a copy of {_database_of(target)}" if clone else "a new database"
    if target.is_embedded:
        invocation.say("Target", f"{place.shown}, {what}, dropped at the end")
        return
    ask(invocation, target, [f"test      in {what} beside this one, which is not touched; dropped at the end"], yes=yes)


def _database_of(target: Target) -> str:
    with open_client(target) as client:
        return client.server().database


def _collect(
    trial: Trial, target: Target, paths: Sequence[Path], names: Sequence[str], *, is_copy: bool
) -> list[Workflow]:
    found = trial.deploy(paths) if paths else []
    if is_copy:
        found += [trial.use(name, space) for space, name in (_find(trial.client, target, name) for name in names)]
    elif names:
        with open_client(target) as source:
            for text in names:
                namespace, name = _find(source, target, text)
                found.append(trial.copy(source, name, namespace))
    return list(dict.fromkeys(found))


def _find(client: Client, target: Target, text: str) -> Workflow:
    return find_workflow(client, text, target.project.namespace)


def _ask_outside(invocation: Invocation, outside: Mapping[str, str], *, yes: bool) -> None:
    """Name what runs for real and may change what no database takes back; ask, on the embedded server too."""
    if not outside:
        return
    invocation.say("Outside", *(f"{key}: {what}, runs for real" for key, what in outside.items()))
    if yes:
        return
    if not sys.stdin.isatty():
        first = next(iter(outside))
        raise UsageError("nobody is there to say yes to this", hint=f"--stub {first}=…, or --yes to let it run")
    if not click.confirm("Continue?", default=False, err=True):
        raise DeclinedError


def _run(
    invocation: Invocation,
    trial: Trial,
    workflow: Workflow,
    date: datetime | None,
    params: Mapping[str, JsonValue],
) -> Run:
    instance_id = trial.start(workflow, date, params)
    row = trial.client.instance(instance_id)
    if not invocation.is_json:
        shown = "".join(f"   {name} {value}" for name, value in params.items())
        day = "" if row.logical_date is None else f"   ds {ds(row.logical_date)}"
        invocation.put(f"{'Run':<10}{workflow[1]} {short_id(instance_id)}{day}{shown}")
    follow(invocation, trial.client, instance_id, trial.check)
    return Run(trial, instance_id)


def _tell(invocation: Invocation, runs: Sequence[Run], wrong: Mapping[Run, Sequence[str]], *, is_seeded: bool) -> None:
    """Say of failed steps what the database, which is about to go, knows of them; and what was not as expected."""
    for run in runs:
        for step in run.steps:
            if step.status == "failed" and (lines := list(run.explain(step))):
                invocation.say("Failed", step.label, *lines)
        state = run.instance.error.get("sqlstate") if isinstance(run.instance.error, Mapping) else None
        if run.status == "failed" and state in UNDEFINED and not is_seeded:
            invocation.say("Hint", "the database of a test is empty: --fixture seed.sql fills it")
        if unlike := wrong.get(run, []):
            invocation.say("Unlike", *unlike)


def _shown(value: JsonValue) -> str:
    return freeze(value)


def _as_json(run: Run, wrong: Sequence[str]) -> dict[str, object]:
    return {"instance": run.instance, "steps": run.steps, "unlike": wrong}
