"""What is wrong with a graph: every problem at once, each with its place and a stable code word.

A check never raises and never stops at the first problem. Closed lists (rules, classes, runtimes), numbers and JSON
values are looked at although their types promise them, because untyped callers meet here too. What only the database
can tell (a role, a table, a cron expression's next date) is the engine's to say.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from math import isfinite
from typing import Final, Literal, get_args
from zoneinfo import available_timezones

from pgdurable_core.errors import DocumentError, Problem
from pgdurable_core.graph.analysis import cycles, show_path
from pgdurable_core.graph.branches import constant_targets
from pgdurable_core.graph.document import MAX_DOCUMENT_BYTES, graph_to_document
from pgdurable_core.graph.duration import parse_duration
from pgdurable_core.graph.model import (
    IDENTIFIER,
    RESERVED_NAMES,
    RUNTIMES,
    STATEMENT_CLASSES,
    TRIGGER_RULES,
    Branch,
    Check,
    Empty,
    Graph,
    Python,
    Run,
    Shell,
    Sql,
    Step,
)

ProblemCode = Literal[
    "bad-bind",
    "bad-callable",
    "bad-class",
    "bad-date",
    "bad-duration",
    "bad-key",
    "bad-module",
    "bad-name",
    "bad-number",
    "bad-result-name",
    "bad-rule",
    "bad-runtime",
    "bad-schedule",
    "bad-text",
    "bad-timezone",
    "cycle",
    "duplicate-key",
    "duplicate-upstream",
    "each-itself",
    "empty-graph",
    "empty-text",
    "item-without-each",
    "not-json",
    "result-name-clash",
    "too-large",
    "unknown-branch",
    "unknown-each",
    "unknown-result",
    "unknown-upstream",
]
PROBLEM_CODES: Final[tuple[ProblemCode, ...]] = get_args(ProblemCode)

MAX_STEPS: Final = 100_000
MAX_SQL_BYTES: Final = 2**20
MAX_NESTING: Final = 100
# PostgreSQL's `integer`, which holds these numbers in the engine's tables.
MAX_INTEGER: Final = 2**31 - 1
# PostgreSQL cuts longer names of roles (NAMEDATALEN - 1).
MAX_ROLE_BYTES: Final = 63

KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,250}")
CALLABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*")
MODULE_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
# Airflow 3.3: task-sdk, airflow/sdk/definitions/dag.py, cron presets with @once and @continuous.
PRESETS: Final = frozenset(
    {"@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@annually"}
)
_CRON: Final = re.compile(r"[0-9A-Za-z*/,?#-]+(?: +[0-9A-Za-z*/,?#-]+){4,5}")
_DATE: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[ T]([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?)?"
    r"(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?)| ([A-Za-z][A-Za-z0-9_+/-]*))?",
    re.ASCII,
)


def find_problems(graph: Graph) -> tuple[Problem, ...]:
    """List everything that is wrong with `graph`: the graph's own fields, then step by step, then its shape.

    Empty means that the engine will take the shape and the words of it. 100,000 steps take a few seconds.
    """
    found = _Findings(graph)
    found.graph_fields()
    for index, step in enumerate(graph.steps[:MAX_STEPS]):
        found.step_fields(step, f"/steps/{index}")
    found.names()
    found.shape()
    found.size()
    return tuple(found.problems)


def refuse_problems(graph: Graph) -> None:
    """Raise DocumentError with all problems of `graph`; return when there are none."""
    problems = find_problems(graph)
    if problems:
        raise DocumentError(problems, name=graph.name)


class _Findings:
    def __init__(self, graph: Graph) -> None:
        self.problems: list[Problem] = []
        self.graph = graph
        self.keys = frozenset(step.key for step in graph.steps)
        self._step: Step | None = None

    def note(self, code: ProblemCode, place: str, message: str) -> None:
        key, source = (self._step.key, self._step.source) if self._step else (None, None)
        self.problems.append(Problem(code, message, place, step=key, source=source))

    def graph_fields(self) -> None:
        graph = self.graph
        if not graph.steps:
            self.note("empty-graph", "/steps", "the workflow has no steps")
        if len(graph.steps) > MAX_STEPS:
            self.note("too-large", "/steps", f"{len(graph.steps):,} steps are more than {MAX_STEPS:,}")
        if not KEY.fullmatch(graph.name):
            self.note("bad-name", "/name", f"{graph.name!r} is no name: 1 to 250 of A-Z, a-z, 0-9, '_', '.', '-'")
        self.schedule(graph.schedule)
        self.timezone(graph.timezone)
        self.date("/start_date", graph.start_date)
        self.date("/end_date", graph.end_date)
        self.number("/max_active_runs", graph.max_active_runs, least=1)
        self.number("/max_active_tasks", graph.max_active_tasks, least=1)
        defaults = graph.defaults
        self.number("/defaults/retries", defaults.retries, least=0)
        self.duration("/defaults/retry_delay", defaults.retry_delay)
        self.duration("/defaults/timeout", defaults.timeout)
        self.places("/defaults", defaults.pool, defaults.run_as, defaults.connection)
        self.json("/params", graph.params)
        for module, digest in graph.modules.items():
            if not MODULE_HASH.fullmatch(digest):
                self.note("bad-module", f"/modules/{module}", f"{digest!r} is not sha256: and 64 hex digits")
        for place, run in (("/on_failure", graph.on_failure), ("/on_success", graph.on_success)):
            if run is not None:
                self.run(place, run)
        self.texts((("/owner", graph.owner), ("/doc", graph.doc)))
        self.texts((f"/tags/{index}", tag) for index, tag in enumerate(graph.tags))
        seen: set[str] = set()
        for index, group in enumerate(graph.groups):
            place = f"/groups/{index}/key"
            if not KEY.fullmatch(group.key):
                self.note("bad-key", place, f"{group.key!r} is no key of a group")
            elif group.key in seen:
                self.note("duplicate-key", place, f"the group {group.key} is there twice")
            seen.add(group.key)
            self.texts(((f"/groups/{index}/doc", group.doc),))

    def step_fields(self, step: Step, place: str) -> None:
        self._step = step
        if not KEY.fullmatch(step.key):
            self.note("bad-key", f"{place}/key", f"{step.key!r} is no key: 1 to 250 of A-Z, a-z, 0-9, '_', '.', '-'")
        if step.rule not in TRIGGER_RULES:
            self.note("bad-rule", f"{place}/rule", f"{step.rule!r} is no trigger rule: {', '.join(TRIGGER_RULES)}")
        if step.statement_class is not None and step.statement_class not in STATEMENT_CLASSES:
            self.note("bad-class", f"{place}/class", f"{step.statement_class!r} is no statement class")
        self.upstreams(step, place)
        self.number(f"{place}/retries", step.retries, least=0)
        self.duration(f"{place}/retry_delay", step.retry_delay)
        self.duration(f"{place}/timeout", step.timeout)
        self.places(place, step.pool, step.run_as, step.connection)
        if step.result_name is not None and not IDENTIFIER.fullmatch(step.result_name):
            self.note("bad-result-name", f"{place}/result_name", f"{step.result_name!r} is no identifier")
        for name, expression in step.bind.items():
            self.bind(f"{place}/bind/{name}", name, expression)
        self.run(f"{place}/run", step.run)
        self.texts(((f"{place}/source", step.source), (f"{place}/doc", step.doc)))
        self._step = None

    def upstreams(self, step: Step, place: str) -> None:
        for index, key in enumerate(step.after):
            if key not in self.keys:
                self.note("unknown-upstream", f"{place}/after/{index}", f"there is no step {key!r} to wait for")
        if len(set(step.after)) < len(step.after):
            twice = sorted({key for key in step.after if step.after.count(key) > 1})
            self.note("duplicate-upstream", f"{place}/after", f"named more than once: {', '.join(twice)}")
        if step.each is None:
            return
        if step.each == step.key:
            self.note("each-itself", f"{place}/each", "a step cannot be mapped over its own rows")
        elif step.each not in self.keys:
            self.note("unknown-each", f"{place}/each", f"there is no step {step.each!r} to map over")

    def bind(self, place: str, name: str, expression: str) -> None:
        if not IDENTIFIER.fullmatch(name):
            self.note("bad-bind", place, f"{name!r} is no identifier, so {{{name}}} could not be put in")
        elif not expression.strip():
            self.note("bad-bind", place, f"the expression of {name} is empty")
        self.sql_size(place, expression)
        self.texts(((place, expression),))

    def run(self, place: str, run: Run) -> None:
        match run:
            case Sql() | Check() | Branch():
                self.not_empty(f"{place}/sql", run.sql)
                self.sql_size(f"{place}/sql", run.sql)
                self.texts(((f"{place}/sql", run.sql),))
                if isinstance(run, Branch):
                    self.branch(f"{place}/sql", run)
            case Python():
                if not CALLABLE.fullmatch(run.callable):
                    self.note("bad-callable", f"{place}/callable", f"{run.callable!r} is not module:name")
                if run.runtime not in RUNTIMES:
                    self.note("bad-runtime", f"{place}/runtime", f"{run.runtime!r} is not {' or '.join(RUNTIMES)}")
                self.json(f"{place}/args", run.args, self.reference)
            case Shell():
                self.not_empty(f"{place}/command", run.command)
                self.sql_size(f"{place}/command", run.command)
                self.texts(((f"{place}/command", run.command), (f"{place}/cwd", run.cwd)))
                self.json(f"{place}/env", run.env)
            case Empty():
                pass

    def branch(self, place: str, run: Branch) -> None:
        for key in constant_targets(run.sql):
            if key not in self.keys:
                self.note("unknown-branch", place, f"the branch can choose {key!r}, and there is no such step")

    def reference(self, place: str, value: Mapping[object, object]) -> None:
        """Look at `{"xcom": key}` and `{"item": ...}` in arguments; every other object is plain data."""
        if len(value) != 1:
            return
        key = value.get("xcom")
        if isinstance(key, str) and key not in self.keys:
            self.note("unknown-result", place, f"there is no step {key!r} whose result could be handed on")
        item = value.get("item")
        mapped = self._step is not None and self._step.each is not None
        if not mapped and (item is True or isinstance(item, str)):
            self.note("item-without-each", place, "the step is not mapped, so it has no item")

    def not_empty(self, place: str, text: str) -> None:
        if not text.strip():
            self.note("empty-text", place, "there is nothing to run")

    def sql_size(self, place: str, text: str) -> None:
        if len(text) > MAX_SQL_BYTES // 4 and len(text.encode("utf-8", "replace")) > MAX_SQL_BYTES:
            self.note("too-large", place, f"the text has {len(text):,} characters, more than 1 MiB")

    def texts(self, texts: Iterable[tuple[str, str | None]]) -> None:
        for place, text in texts:
            if text is not None and (reason := _unstorable(text)):
                self.note("bad-text", place, reason)

    def number(self, place: str, value: int | None, *, least: int) -> None:
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INTEGER:
            self.note("bad-number", place, f"a whole number from {least} to {MAX_INTEGER:,} is wanted, not {value!r}")

    def duration(self, place: str, text: str | None) -> None:
        if text is None:
            return
        try:
            parse_duration(text)
        except ValueError as error:
            self.note("bad-duration", place, str(error))

    def places(self, place: str, pool: str | None, run_as: str | None, connection: str | None) -> None:
        """Look at the names of where a step runs: pool, role, connection."""
        for field, name in (("pool", pool), ("run_as", run_as), ("connection", connection)):
            if name is None:
                continue
            if not name.strip():
                self.note("bad-name", f"{place}/{field}", f"{field} is empty")
            elif reason := _unstorable(name):
                self.note("bad-text", f"{place}/{field}", reason)
            elif field == "run_as" and len(name.encode()) > MAX_ROLE_BYTES:
                self.note("bad-name", f"{place}/{field}", f"PostgreSQL has no role name over {MAX_ROLE_BYTES} bytes")

    def schedule(self, text: str | None) -> None:
        if text is None or text in PRESETS or _CRON.fullmatch(text):
            return
        try:
            fits = bool(parse_duration(text))
        except ValueError:
            fits = False
        if not fits:
            self.note("bad-schedule", "/schedule", f"{text!r} is no cron expression, preset or duration over zero")

    def timezone(self, name: str) -> None:
        known = _timezones()
        if known and name not in known:
            self.note("bad-timezone", "/timezone", f"{name!r} is no IANA time zone")

    def date(self, place: str, text: str | None) -> None:
        if text is None:
            return
        match = _DATE.fullmatch(text)
        zone = match[3] if match else None
        known = _timezones()
        if match and _is_date(match[1]) and (zone is None or not known or zone in known):
            return
        self.note(
            "bad-date", place, f"{text!r} is no date: write 2026-01-01 00:00 Europe/Berlin or 2026-01-01T00:00+01:00"
        )

    def json(
        self, place: str, value: object, look: Callable[[str, Mapping[object, object]], None] | None = None
    ) -> None:
        """Walk a JSON value without recursion and note what JSON or PostgreSQL's jsonb cannot hold."""
        open_values: list[tuple[str, object, int]] = [(place, value, 0)]
        while open_values:
            at, inner, depth = open_values.pop()
            if depth > MAX_NESTING:
                self.note("too-large", place, f"nested deeper than {MAX_NESTING} levels")
                return
            match inner:
                case str():
                    self.texts(((at, inner),))
                case None | bool() | int():
                    pass
                case float() if isfinite(inner):
                    pass
                case Mapping():
                    if look is not None and depth > 0:
                        look(at, inner)
                    for key, item in inner.items():
                        if not isinstance(key, str):
                            self.note("not-json", at, f"a key of an object is text, not {key!r}")
                        elif reason := _unstorable(key):
                            self.note("bad-text", at, reason)
                        else:
                            open_values.append((f"{at}/{key.replace('~', '~0').replace('/', '~1')}", item, depth + 1))
                case Sequence() if not isinstance(inner, bytes | bytearray):
                    open_values.extend((f"{at}/{index}", item, depth + 1) for index, item in enumerate(inner))
                case _:
                    self.note("not-json", at, f"{type(inner).__name__} is no JSON value")

    def names(self) -> None:
        by_key: dict[str, list[int]] = defaultdict(list)
        by_reference: dict[str, list[int]] = defaultdict(list)
        for index, step in enumerate(self.graph.steps):
            by_key[step.key].append(index)
            if step.result_name in RESERVED_NAMES:
                self.at(index).note("result-name-clash", f"/steps/{index}/result_name", f"${step.result_name} is taken")
            elif step.reference is not None:
                by_reference[step.reference].append(index)
        for key, indexes in by_key.items():
            for index in indexes[1:]:
                first = self.graph.steps[indexes[0]].source
                other = f", first at {first}" if first else ""
                self.at(index).note("duplicate-key", f"/steps/{index}/key", f"the key {key!r} is there twice{other}")
        for name, indexes in by_reference.items():
            for index in indexes[1:]:
                mine, first_key = self.graph.steps[index].key, self.graph.steps[indexes[0]].key
                if mine != first_key:
                    text = f"${name} would mean the result of this step and of {first_key!r}"
                    self.at(index).note("result-name-clash", f"/steps/{index}/result_name", text)
        self._step = None

    def at(self, index: int) -> "_Findings":
        self._step = self.graph.steps[index]
        return self

    def shape(self) -> None:
        positions: dict[str, int] = {}
        for index, step in enumerate(self.graph.steps):
            positions.setdefault(step.key, index)
        for path in cycles(self.graph):
            index = positions[path[0]]
            self.at(index).note("cycle", f"/steps/{index}/after", f"the steps wait for each other: {show_path(path)}")
        self._step = None

    def size(self) -> None:
        if any(problem.code in ("not-json", "bad-text", "too-large") for problem in self.problems):
            return
        try:
            length = len(json.dumps(graph_to_document(self.graph), ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError) as error:
            self.note("not-json", "", f"the graph cannot be written as JSON: {error}")
            return
        if length > MAX_DOCUMENT_BYTES:
            self.note("too-large", "", f"the document has {length:,} bytes, more than 64 MiB")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _unstorable(text: str) -> str | None:
    if text.isascii():
        return "the text holds a zero byte, which PostgreSQL cannot store" if "\0" in text else None
    if "\0" in text:
        return "the text holds a zero byte, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"the text is no Unicode at character {error.start}: half of a surrogate pair"
    return None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
