"""A trial: workflows in a database of their own, some steps stubbed, run for real by a worker of their own."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from pgdurable_core.cli.companions import Companion, beside, run_worker_beside
from pgdurable_core.cli.deployment import Names, apply, read_workflow_files
from pgdurable_core.cli.moments import start_of_today
from pgdurable_core.cli.project import Environment, Project
from pgdurable_core.cli.rendering import connect_the_rest
from pgdurable_core.engine import Client, InstanceRow, StepRow, connect, translated
from pgdurable_core.engine.rows import LogRow, error_text
from pgdurable_core.errors import NotFoundError, StepTimeoutError, UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.testing.places import Place
from pgdurable_core.testing.stubs import RETURNS, check_names, stub_run

SHORTEST_LOOK = 0.02
LONGEST_LOOK = 0.25
LINE = 160

Workflow = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried out in one scratch database. Made by `open_trial`, which drops the database at the end."""

    place: Place
    database: str
    client: Client
    project: Project
    environment: Environment
    _stack: ExitStack
    _kinds: dict[Workflow, dict[str, JsonValue]] = field(default_factory=dict)
    _workers: list[Companion] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.place.dsn(self.database)

    def seed(self, file: Path) -> None:
        """Run an SQL file with psql."""
        self.place.seed(self.database, file)

    def deploy(self, paths: Sequence[Path]) -> list[Workflow]:
        """Deploy files as `pgdurable deploy` does; every connection means this database, as its owner.

        Drafts of a folder are left out. Raises UsageError when there is nothing else.
        """
        files, drafts = read_workflow_files(paths)
        if not files:
            raise UsageError(f"{drafts[0]} holds a blocked task, so it cannot run", hint="see the report")
        names = Names(dict.fromkeys(self.environment.connections), self.environment.variables)
        search = self.project.python_path
        changes = apply(self.client, files, names, namespace=self.project.namespace, search=search)
        found = list(dict.fromkeys((change.namespace, change.name) for change in changes))
        for workflow in found:
            self._take(workflow)
        return found

    def copy(self, source: Client, name: str, namespace: str) -> Workflow:
        """Define a workflow as it is deployed elsewhere, with the modules that it pins; nothing changes there."""
        text = source.document_text(name, namespace)
        pins = source.document(name, namespace).get("modules")
        for module, pin in pins.items() if isinstance(pins, Mapping) else ():
            try:
                content = source.module(module, str(pin).removeprefix("sha256:"))
            except psycopg.errors.InsufficientPrivilege as error:
                raise UsageError(
                    f"{name} pins module {module}, which this role may not read there",
                    hint="give the workflow's file instead of its name",
                ) from error
            self.client.set_module(module, content)
        for variable, value in source.variables(namespace).items():
            self.client.set_variable(variable, value, namespace)
        self.client.define_text(text, namespace)
        self._take((namespace, name))
        return namespace, name

    def use(self, name: str, namespace: str) -> Workflow:
        """Take a workflow that came with the copy of a database."""
        self._take((namespace, name))
        return namespace, name

    def _take(self, workflow: Workflow) -> None:
        namespace, name = workflow
        connect_the_rest(self.client, name, namespace)
        steps = self.client.document(name, namespace).get("steps")
        assert isinstance(steps, Sequence)
        self._kinds[workflow] = {str(step["key"]): step["run"] for step in steps if isinstance(step, Mapping)}

    def stub(self, stubs: Mapping[str, JsonValue]) -> None:
        """Let steps end with fixed results, and retries follow at once, in every workflow that has such steps.

        Raises UsageError for a name that is no step, and a value that its step cannot have.
        """
        check_names(stubs, list(dict.fromkeys(key for runs in self._kinds.values() for key in runs)))
        for workflow, runs in self._kinds.items():
            found = {key: stub_run(key, _kind(run), stubs[key]) for key, run in runs.items() if key in stubs}
            self.client.define_trial(*workflow, found)
            runs.update(found)

    def outside(self) -> dict[str, str]:
        """Return the steps that reach out of the database, and what they call: they run for real."""
        return {
            key: f"{_kind(run)} {_called(run)}"
            for runs in self._kinds.values()
            for key, run in runs.items()
            if _kind(run) in ("python", "shell") and not _is_stub(run)
        }

    def start(
        self, workflow: Workflow, date: datetime | None = None, params: Mapping[str, JsonValue] | None = None
    ) -> str:
        """Start an instance, and a worker when there is none yet; without a date the environment's or today's."""
        if not self._workers:
            if self.environment.beside is not None and self.outside():
                companion = self._stack.enter_context(beside(self.environment.beside, self.project.folder))
                companion.wait_ready()
                self._workers.append(companion)
            self._workers.append(self._stack.enter_context(run_worker_beside(self.dsn)))
        namespace, name = workflow
        date = date or self.environment.date or start_of_today()
        return self.client.start(name, params=params, logical_date=date, reason="pgdurable test", namespace=namespace)

    def check(self) -> None:
        """Raise CompanionError when the worker, or what the environment wants beside it, has ended."""
        for worker in self._workers:
            worker.check()

    def wait(self, instance_id: str, timeout: float) -> Run:
        """Wait for the end of an instance. Raises StepTimeoutError after `timeout` seconds, saying what is not over."""
        deadline = time.monotonic() + timeout
        pause = SHORTEST_LOOK
        while not self.client.instance(instance_id).is_finished:
            self.check()
            if time.monotonic() > deadline:
                open_steps = [
                    f"{step.label} {step.status}" for step in self.client.steps(instance_id) if not step.is_finished
                ]
                raise StepTimeoutError(f"the run was not over after {timeout:g} s: {', '.join(open_steps)}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)
        return Run(self, instance_id)


@contextmanager
def open_trial(
    place: Place, project: Project, environment: Environment, *, copy_of: str | None = None, keep: bool = False
) -> Iterator[Trial]:
    """Make a scratch database and drop it at the end, whatever happens; with `keep` it stays, under another name."""
    with place.scratch(copy_of) as database:
        with ExitStack() as stack:
            connection = stack.enter_context(connect(place.dsn(database), application_name="pgdurable test"))
            yield Trial(place, database, Client(connection), project, environment, stack)
        if keep:
            place.keep(database)


class Run:
    """An instance that has ended, for asserts: what became of its steps, and what the tables hold."""

    def __init__(self, trial: Trial, instance_id: str) -> None:
        self.trial = trial
        self.instance: InstanceRow = trial.client.instance(instance_id)
        self.steps: list[StepRow] = trial.client.steps(instance_id)

    @property
    def status(self) -> str:
        """`completed`, `failed` or `cancelled`."""
        return self.instance.status

    @property
    def is_completed(self) -> bool:
        """Whether it ended as it should: unlike `status`, an assert of this shows the run, and so what failed."""
        return self.status == "completed"

    @property
    def states(self) -> dict[str, str]:
        """The state of every step; items of a mapped one are `key[index]`."""
        return {step.label: step.status for step in self.steps}

    def step(self, label: str) -> StepRow:
        """Return a step by key, or an item by `key[index]`. Raises NotFoundError, naming those there are."""
        for step in self.steps:
            if step.label == label:
                return step
        raise NotFoundError(f"the run has no step {label!r}", hint=f"there are: {', '.join(self.states)}")

    def result(self, label: str) -> JsonValue:
        """Return a step's result: rows as a list of objects; of a mapped step a list of its items' results."""
        step = self.step(label)
        items = [one for one in self.steps if one.key == label and one.label != label]
        return [item.result for item in items] if items else step.result

    def logs(self, key: str | None = None) -> list[str]:
        """Return what a step printed, or all of them; items of a mapped step together."""
        if key is not None:
            self.step(key)
        return [row.line for row in self.log_rows(key)]

    def log_rows(self, key: str | None = None) -> list[LogRow]:
        """Return log lines with when, from which stream and attempt."""
        rows: list[LogRow] = []
        while more := self.trial.client.logs(
            self.instance.instance_id, key=key, after=rows[-1].log_id if rows else 0, limit=1000
        ):
            rows += more
        return rows

    def query(self, statement: str, values: Sequence[object] | Mapping[str, object] | None = None) -> list[Any]:
        """Run a statement in the run's database, as its owner, and return the rows; `%s` stand for values, if given."""
        with translated():
            cursor = self.trial.client.connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @property
    def failures(self) -> dict[str, str]:
        """The error of every step that failed, with the place in the source."""
        return {
            step.label: f"{error_text(step.error) or 'failed'}{f' ({step.source})' if step.source else ''}"
            for step in self.steps
            if step.status == "failed" and step.error is not None
        }

    def __repr__(self) -> str:
        head = f"<Run {self.instance.workflow} {self.status}"
        if self.failures:
            # pytest cuts what is longer than 240 characters, in the middle.
            return f"{head}: {'; '.join(f'{key}: {error}' for key, error in self.failures.items())[:LINE]}>"
        counts = {state: list(self.states.values()).count(state) for state in dict.fromkeys(self.states.values())}
        return f"{head}: {', '.join(f'{count} {state}' for state, count in counts.items())}>"

    def show(self) -> str:
        """Write the run in full: every step, every error, what failed steps printed last."""
        lines = [f"{self.instance.workflow} {self.status}, {self.trial.place.shown}"]
        for step in self.steps:
            text = f"  {step.status:<16}{step.label:<28}{_outcome(step)}".rstrip()
            lines.append(text)
            if step.status == "failed":
                lines += [f"    {line}" for line in self.explain(step)]
        return "\n".join(lines)

    def explain(self, step: StepRow, count: int = 20) -> Iterator[str]:
        """Say more about a failed step than its first line: detail, hint, context, and what it printed last."""
        if isinstance(step.error, Mapping):
            for name in ("detail", "hint", "context"):
                for line in str(step.error.get(name) or "").splitlines():
                    yield f"{name:<8}{line}"
        for row in self.log_rows(step.key)[-count:]:
            yield f"log     {row.line}"


def _outcome(step: StepRow) -> str:
    if step.error is not None:
        return " ".join(filter(None, [error_text(step.error), f"({step.source})" if step.source else None]))
    if step.reason:
        return step.reason
    return "" if step.row_count is None else f"{step.row_count} row{'' if step.row_count == 1 else 's'}"


def _kind(run: JsonValue) -> str:
    return str(run["kind"]) if isinstance(run, Mapping) else "empty"


def _called(run: JsonValue) -> str:
    assert isinstance(run, Mapping)
    return re.sub(r"\s+", " ", str(run.get("callable") or run.get("command")))[:60]


def _is_stub(run: JsonValue) -> bool:
    return isinstance(run, Mapping) and run.get("callable") == RETURNS


def allowed(outside: Mapping[str, str], permitted: bool | Collection[str]) -> None:
    """Refuse to run steps that reach outside and that nobody said may. Raises UsageError, naming them."""
    if permitted is True:
        return
    names = [] if permitted is False else list(permitted)
    left = {key: what for key, what in outside.items() if key not in names}
    if left:
        raise UsageError(
            f"reaches outside of the database: {', '.join(f'{key} ({what})' for key, what in left.items())}",
            hint=f'stub it (stubs={{"{next(iter(left))}": …}}), or let it run for real (outside=True, or their names)',
        )
