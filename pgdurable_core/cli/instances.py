"""`pgdurable start`, `retry`, `cancel`: what people do with instances."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

import click

from pgdurable_core.cli import exits
from pgdurable_core.cli.display import ds
from pgdurable_core.cli.invocation import Command, common_options, current
from pgdurable_core.cli.moments import read_moment
from pgdurable_core.cli.target import find_workflow, open_client, resolve_target
from pgdurable_core.cli.watching import follow, short_id
from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue


def read_date(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """Read a date or moment; without an offset it is UTC, as Airflow reads one."""
    if text is None:
        return None
    try:
        return read_moment(text)
    except UsageError as error:
        raise click.BadParameter(f"{error}; {error.hint}") from None


def read_params(texts: Sequence[str]) -> dict[str, JsonValue]:
    """Read `name=value` options; a value that is JSON is taken as JSON, anything else as text."""
    params: dict[str, JsonValue] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not re.fullmatch(r"\w+", name):
            raise click.BadParameter(f"{text!r} is not name=value", param_hint="--param")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def refuse_undeclared(workflow: str, params: Mapping[str, JsonValue], declared: Collection[str]) -> None:
    """Raise UsageError for a parameter that a workflow does not declare.

    The engine takes such a value, as Airflow takes any key of a conf; typed by hand it is a slip of the finger.
    """
    for name in params:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            raise UsageError(
                f"{workflow} declares no parameter {name}" + (f"; did you mean {near[0]}?" if near else ""),
                hint=f"its parameters: {', '.join(declared)}" if declared else "it declares none",
            )


param_option = click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable.")


def date_option(default: str) -> Callable[[Command], Command]:
    """Add --date to a command, with what holds without it."""
    words = f"The logical date of the run, 2026-11-21 or with a time; UTC. {default}"
    return click.option("--date", callback=read_date, metavar="DATE", help=words)


@click.command()
@click.argument("workflow")
@param_option
@date_option("By default none: then a step that names a date fails.")
@click.option("--run-key", help="The same key returns the same instance instead of starting another.")
@click.option("--label", help="A name for people.")
@click.option("--reason", help="Why; kept with the event.")
@click.option("--wait", is_flag=True, help="Show the steps until the end; exit 1 when it fails.")
@common_options
def start(
    workflow: str,
    params: tuple[str, ...],
    date: datetime | None,
    run_key: str | None,
    label: str | None,
    reason: str | None,
    wait: bool,
) -> int:
    """Start an instance of a workflow and print its id. Workers run it.

    WORKFLOW is a name, or namespace/name.

    \b
    Examples:
      pgdurable start orders_daily --date 2026-11-21 --param mode=full --wait
      id=$(pgdurable start orders_daily --env prod --run-key 2026-11-21)
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with open_client(target) as client:
        namespace, name = find_workflow(client, workflow, target.project.namespace)
        given = read_params(params)
        declared = client.params(name, namespace) if given else None
        # A name that nobody has is the engine's to refuse.
        if declared is not None:
            refuse_undeclared(name, given, declared)
        instance_id = client.start(
            name,
            params=given,
            logical_date=date,
            run_key=run_key,
            label=label,
            reason=reason,
            namespace=namespace,
        )
        key = None if run_key is None else client.run_key(name, run_key, namespace)
        if key is not None and key.purged_end_at is not None:
            invocation.say("Run", f"{name} {short_id(instance_id)} had this run key; it is {key.status}, and purged")
            if invocation.is_json:
                invocation.put_json({"instance_id": instance_id, "status": key.status, "purged": True})
            else:
                invocation.put(instance_id)
            return exits.DONE if key.status == "completed" or not wait else exits.NO
        is_attended = any(worker.is_alive for worker in client.workers())
        if not is_attended:
            invocation.say("Note", f"no worker is alive there; pgdurable worker{target.flag}")
        row = client.instance(instance_id)
        day = (
            "no logical date, so no {ds}: --date gives one"
            if row.logical_date is None
            else f"ds {ds(row.logical_date)}"
        )
        invocation.say("Run", f"{name} {short_id(instance_id)}   {day}")
        if not wait:
            if invocation.is_json:
                invocation.put_json({"instance_id": instance_id, "logical_date": row.logical_date})
            else:
                invocation.put(instance_id)
            return exits.DONE
        try:
            row = follow(invocation, client, instance_id)
        except KeyboardInterrupt:
            invocation.say(
                "Left",
                f"{name} {instance_id} goes on without this command, while a worker runs there",
                f"pgdurable explain {short_id(instance_id)}{target.flag}, pgdurable status --watch{target.flag}",
                f"pgdurable cancel {short_id(instance_id)}{target.flag}",
            )
            raise
    if invocation.is_json:
        invocation.put_json(row)
    return exits.DONE if row.status == "completed" else exits.NO


@click.command()
@click.argument("instance")
@click.option("--reason", help="Why; kept with the event.")
@common_options
def retry(instance: str, reason: str | None) -> None:
    """Run an instance again from its failed steps; what is done stays done.

    INSTANCE is an id or the beginning of one.
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with open_client(target) as client:
        row = client.find_instance(instance)
        client.retry(row.instance_id, reason)
    if invocation.is_json:
        invocation.put_json({"instance_id": row.instance_id, "asked": "retry"})
    else:
        failed = f" from {row.failed_step}" if row.failed_step else ""
        invocation.say("Asked", f"{row.workflow} {short_id(row.instance_id)} runs again{failed}; a worker does it")


@click.command()
@click.argument("instance")
@click.option("--reason", help="Why; kept with the event.")
@common_options
def cancel(instance: str, reason: str | None) -> None:
    """Cancel an instance; while a worker lives, a running statement stops within a second.

    INSTANCE is an id or the beginning of one. A retry that no worker has begun yet is taken back.
    """
    invocation = current()
    target = resolve_target(invocation, writes=True)
    with open_client(target) as client:
        row = client.find_instance(instance)
        client.cancel(row.instance_id, reason)
    if invocation.is_json:
        invocation.put_json({"instance_id": row.instance_id, "asked": "cancel"})
    else:
        what = f"the retry that waits is taken back; it stays {row.status}" if row.is_finished else "is being cancelled"
        invocation.say("Asked", f"{row.workflow} {short_id(row.instance_id)}{':' if row.is_finished else ''} {what}")
