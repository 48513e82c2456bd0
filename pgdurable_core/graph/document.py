"""Graph <-> JSON document, version 1 (`README.md` of this room; `document.schema.json` says the same as a schema).

Writing leaves out what equals a default, so a graph has one document and one hash: `graph_from_document` of
`graph_to_document(graph)` is `normalise(graph)`. Reading is strict and reports everything it finds at once: unknown
keys, wrong types, a newer version. What only the whole graph can tell (cycles, unknown names) is `check.py`'s.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Final, Literal, TypeVar, cast

from pgdurable_core.errors import DocumentError, Problem
from pgdurable_core.graph.duration import parse_duration
from pgdurable_core.graph.model import (
    DEFAULT_RETRIES,
    DEFAULT_RETRY_DELAY,
    DEFAULT_RULE,
    DEFAULT_TIMEZONE,
    RUN_KINDS,
    RUNTIMES,
    STATEMENT_CLASSES,
    TRIGGER_RULES,
    Branch,
    Check,
    Defaults,
    Empty,
    Graph,
    Group,
    JsonValue,
    Python,
    Run,
    Shell,
    Sql,
    Step,
)

VERSION: Final = 1
MAX_DOCUMENT_BYTES: Final = 64 * 2**20

# Shown to people, and free to change without making another workflow of it (README.md, "Hashes").
_UNHASHED_OF_GRAPH: Final = ("doc", "owner", "tags", "groups")
_UNHASHED_OF_STEP: Final = ("source", "doc")

Word = TypeVar("Word", bound=str)
Value = TypeVar("Value")


def normalise(graph: Graph) -> Graph:
    """Drop every statement that equals what would hold without it; the meaning and the hash stay.

    A step keeps only what differs from the graph's defaults, those only what differs from the engine's; `300 s` and
    `5 min` are equal. `after` loses the key that `each` names anyway.
    """
    defaults = replace(
        graph.defaults,
        retries=_unless(graph.defaults.retries, DEFAULT_RETRIES),
        retry_delay=_unless_as_long(graph.defaults.retry_delay, DEFAULT_RETRY_DELAY),
    )
    return replace(
        graph,
        defaults=defaults,
        on_failure=None if isinstance(graph.on_failure, Empty) else graph.on_failure,
        on_success=None if isinstance(graph.on_success, Empty) else graph.on_success,
        steps=tuple(_normalised_step(step, defaults) for step in graph.steps),
    )


def graph_to_document(graph: Graph) -> dict[str, JsonValue]:
    """Write the document: plain dicts and lists, keys in the README's order, defaults left out."""
    graph = normalise(graph)
    written: dict[str, JsonValue] = {
        "pgdurable_graph": VERSION,
        "name": graph.name,
        "schedule": graph.schedule,
        "timezone": _unless(graph.timezone, DEFAULT_TIMEZONE),
        "start_date": graph.start_date,
        "end_date": graph.end_date,
        "data_intervals": graph.data_intervals or None,
        "catchup": graph.catchup or None,
        "max_active_runs": graph.max_active_runs,
        "max_active_tasks": graph.max_active_tasks,
        "params": dict(graph.params) or None,
        "defaults": _defaults_to_document(graph.defaults) or None,
        "modules": dict(graph.modules) or None,
        "on_failure": None if graph.on_failure is None else run_to_document(graph.on_failure),
        "on_success": None if graph.on_success is None else run_to_document(graph.on_success),
        "owner": graph.owner,
        "tags": list(graph.tags) or None,
        "groups": [_stated({"key": group.key, "doc": group.doc}) for group in graph.groups] or None,
        "doc": graph.doc,
        "steps": [step_to_document(step) for step in graph.steps],
    }
    return _stated(written)


def step_to_document(step: Step) -> dict[str, JsonValue]:
    """Write one step as `df.step(...)` would return it; what the graph's defaults say is not known here."""
    return _stated(
        {
            "key": step.key,
            "run": None if isinstance(step.run, Empty) else run_to_document(step.run),
            "after": list(step.after) or None,
            "rule": _unless(step.rule, DEFAULT_RULE),
            "each": step.each,
            "bind": dict(step.bind) or None,
            "retries": step.retries,
            "retry_delay": step.retry_delay,
            "timeout": step.timeout,
            "pool": step.pool,
            "run_as": step.run_as,
            "connection": step.connection,
            "class": step.statement_class,
            "result_name": step.result_name,
            "source": step.source,
            "doc": step.doc,
        }
    )


def run_to_document(run: Run) -> dict[str, JsonValue]:
    """Write a run object, `kind` first."""
    match run:
        case Sql() | Check() | Branch():
            return {"kind": run.kind, "sql": run.sql}
        case Python():
            return _stated(
                {
                    "kind": run.kind,
                    "callable": run.callable,
                    "args": dict(run.args) or None,
                    "runtime": _unless(run.runtime, "python"),
                }
            )
        case Shell():
            return _stated(
                {
                    "kind": run.kind,
                    "command": run.command,
                    "env": dict(run.env) or None,
                    "append_env": run.append_env or None,
                    "cwd": run.cwd,
                }
            )
        case Empty():
            return {"kind": run.kind}


def graph_from_document(document: object) -> Graph:
    """Read a parsed document.

    Raises DocumentError with every problem of form: unknown keys, wrong types, values outside a closed list, another
    version than 1. The graph may still be wrong as a graph: see `check.find_problems`.
    """
    reader = _Reader()
    graph = reader.graph(document)
    if reader.problems:
        name = document.get("name") if isinstance(document, Mapping) else None
        raise DocumentError(reader.problems, name=name if isinstance(name, str) else None)
    return graph


def load_graph(text: str | bytes) -> Graph:
    """Read a document from JSON text, at most 64 MiB; bytes are UTF-8.

    Raises DocumentError, also for text that is no JSON, for a key that stands twice in one object, and for NaN and
    Infinity, which JSON does not have.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise DocumentError([Problem("too-large", f"the document has {len(raw):,} bytes, more than 64 MiB")])
    twice: list[str] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        read = dict(items)
        if len(read) < len(items):
            keys = [key for key, _ in items]
            twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return read

    try:
        document = json.loads(raw, object_pairs_hook=pairs, parse_constant=_refuse_constant)
    except RecursionError:
        raise DocumentError([Problem("not-json", "the document is nested too deeply")]) from None
    except ValueError as error:
        raise DocumentError([Problem("not-json", f"the document is no JSON: {error}")]) from None
    if twice:
        raise DocumentError([Problem("duplicate-field", f"{key!r} stands twice in one object") for key in twice])
    return graph_from_document(document)


def dump_graph(graph: Graph) -> str:
    """Write the document as indented JSON text that ends with a newline; the same graph gives the same bytes."""
    return json.dumps(graph_to_document(graph), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def canonical_json(value: JsonValue) -> str:
    """Write JSON in its one canonical form: sorted keys, no spaces, ASCII. Raises ValueError for NaN and Infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def graph_hash(graph: Graph) -> str:
    """Hash what the workflow does: 64 hex digits of sha256 over the canonical JSON of the document.

    `source`, `doc`, `owner`, `tags` and `groups` are left out: changing them makes no other workflow.
    """
    bare = replace(graph, doc=None, owner=None, tags=(), groups=())
    document = graph_to_document(
        replace(bare, steps=tuple(replace(step, source=None, doc=None) for step in bare.steps))
    )
    return hashlib.sha256(canonical_json(document).encode("ascii")).hexdigest()


def document_schema() -> dict[str, JsonValue]:
    """Read the JSON Schema (draft 2020-12) of the document, as shipped with the package."""
    text = files("pgdurable_core.graph").joinpath("document.schema.json").read_text("utf-8")
    return cast(dict[str, JsonValue], json.loads(text))


def _normalised_step(step: Step, defaults: Defaults) -> Step:
    inherited_retries = DEFAULT_RETRIES if defaults.retries is None else defaults.retries
    return replace(
        step,
        after=tuple(key for key in step.after if key != step.each),
        retries=_unless(step.retries, inherited_retries),
        retry_delay=_unless_as_long(step.retry_delay, defaults.retry_delay or DEFAULT_RETRY_DELAY),
        timeout=_unless_as_long(step.timeout, defaults.timeout),
        pool=_unless(step.pool, defaults.pool),
        run_as=_unless(step.run_as, defaults.run_as),
        connection=_unless(step.connection, defaults.connection),
        result_name=_unless(step.result_name, replace(step, result_name=None).reference),
    )


def _unless(own: Value | None, inherited: object) -> Value | None:
    return None if own == inherited else own


def _unless_as_long(own: str | None, inherited: str | None) -> str | None:
    if own is None or inherited is None:
        return own
    try:
        return None if parse_duration(own) == parse_duration(inherited) else own
    except ValueError:
        return _unless(own, inherited)


def _stated(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: value for key, value in fields.items() if value is not None}


def _defaults_to_document(defaults: Defaults) -> dict[str, JsonValue]:
    return _stated(
        {
            "retries": defaults.retries,
            "retry_delay": defaults.retry_delay,
            "timeout": defaults.timeout,
            "pool": defaults.pool,
            "run_as": defaults.run_as,
            "connection": defaults.connection,
        }
    )


def _refuse_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON number")


def _pointer(place: str, key: str | int) -> str:
    return f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case Sequence():
            return "a list"
    return type(value).__name__


class _Reader:
    """Reads a document and gathers what is wrong with it; after a problem it goes on with a harmless value."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._step: str | None = None
        self._source: str | None = None

    def note(self, code: str, place: str, message: str) -> None:
        self.problems.append(Problem(code, message, place, step=self._step, source=self._source))

    def wrong(self, place: str, wanted: str, value: object) -> None:
        self.note("wrong-type", place, f"{wanted} is wanted here, not {_type_of(value)}")

    def object_at(self, value: object, place: str) -> "_Fields":
        if isinstance(value, Mapping):
            return _Fields(self, value, place)
        self.wrong(place, "an object", value)
        return _Fields(self, {}, place, void=True)

    def graph(self, value: object) -> Graph:
        fields = self.object_at(value, "")
        self._version(fields)
        graph = Graph(
            name=fields.required_text("name"),
            steps=tuple(fields.each_of("steps", self._read_step, required=True)),
            schedule=fields.text("schedule"),
            timezone=fields.text("timezone", nullable=False) or DEFAULT_TIMEZONE,
            start_date=fields.text("start_date"),
            end_date=fields.text("end_date"),
            data_intervals=fields.boolean("data_intervals"),
            catchup=fields.boolean("catchup"),
            max_active_runs=fields.integer("max_active_runs"),
            max_active_tasks=fields.integer("max_active_tasks"),
            params=fields.map_of("params", self._schema),
            defaults=self._defaults(fields),
            modules=fields.map_of("modules", self._text),
            on_failure=self._handler(fields, "on_failure"),
            on_success=self._handler(fields, "on_success"),
            owner=fields.text("owner"),
            tags=tuple(fields.each_of("tags", self._text)),
            groups=tuple(fields.each_of("groups", self._group)),
            doc=fields.text("doc"),
        )
        fields.close()
        return graph

    def _version(self, fields: "_Fields") -> None:
        version = fields.take("pgdurable_graph", required=True)
        if version is None:
            return
        place = _pointer(fields.place, "pgdurable_graph")
        if isinstance(version, bool) or not isinstance(version, int):
            self.wrong(place, "the document's version, a whole number,", version)
        elif version > VERSION:
            self.note("newer-version", place, f"the document has version {version}; this program reads up to {VERSION}")
        elif version < VERSION:
            self.note("bad-version", place, f"there is no version {version} of the document")

    def _read_step(self, value: object, place: str) -> Step:
        if isinstance(value, Mapping):
            key, source = value.get("key"), value.get("source")
            self._step = key if isinstance(key, str) else None
            self._source = source if isinstance(source, str) else None
        fields = self.object_at(value, place)
        run = fields.take("run")
        step = Step(
            key=fields.required_text("key"),
            run=Empty() if run is None else self._run(run, _pointer(place, "run")),
            after=tuple(fields.each_of("after", self._text)),
            rule=fields.word("rule", TRIGGER_RULES) or "all_success",
            each=fields.text("each"),
            bind=fields.map_of("bind", self._text),
            retries=fields.integer("retries", nullable=False),
            retry_delay=fields.text("retry_delay", nullable=False),
            timeout=fields.text("timeout"),
            pool=fields.text("pool"),
            run_as=fields.text("run_as"),
            connection=fields.text("connection"),
            statement_class=fields.word("class", STATEMENT_CLASSES, nullable=True),
            result_name=fields.text("result_name"),
            source=fields.text("source"),
            doc=fields.text("doc"),
        )
        fields.close()
        self._step = self._source = None
        return step

    def _run(self, value: object, place: str) -> Run:
        fields = self.object_at(value, place)
        kind = fields.word("kind", RUN_KINDS, required=True)
        run: Run
        match kind:
            case "sql":
                run = Sql(fields.required_text("sql"))
            case "check":
                run = Check(fields.required_text("sql"))
            case "branch":
                run = Branch(fields.required_text("sql"))
            case "python":
                run = Python(
                    callable=fields.required_text("callable"),
                    args=fields.map_of("args", self._json),
                    runtime=fields.word("runtime", RUNTIMES) or "python",
                )
            case "shell":
                run = Shell(
                    command=fields.required_text("command"),
                    env=fields.map_of("env", self._text),
                    append_env=fields.boolean("append_env"),
                    cwd=fields.text("cwd"),
                )
            case "empty":
                run = Empty()
            case None:
                return Empty()
        fields.close()
        return run

    def _handler(self, fields: "_Fields", key: Literal["on_failure", "on_success"]) -> Run | None:
        value = fields.take(key, nullable=True)
        return None if value is None else self._run(value, _pointer(fields.place, key))

    def _defaults(self, fields: "_Fields") -> Defaults:
        value = fields.take("defaults")
        if value is None:
            return Defaults()
        inner = self.object_at(value, _pointer(fields.place, "defaults"))
        defaults = Defaults(
            retries=inner.integer("retries", nullable=False),
            retry_delay=inner.text("retry_delay", nullable=False),
            timeout=inner.text("timeout"),
            pool=inner.text("pool"),
            run_as=inner.text("run_as"),
            connection=inner.text("connection"),
        )
        inner.close()
        return defaults

    def _group(self, value: object, place: str) -> Group:
        fields = self.object_at(value, place)
        group = Group(key=fields.required_text("key"), doc=fields.text("doc"))
        fields.close()
        return group

    def _text(self, value: object, place: str) -> str:
        if isinstance(value, str):
            return value
        self.wrong(place, "text", value)
        return ""

    def _schema(self, value: object, place: str) -> Mapping[str, JsonValue]:
        if isinstance(value, Mapping):
            return value
        self.wrong(place, "a JSON Schema object", value)
        return {}

    def _json(self, value: object, place: str) -> JsonValue:
        return cast(JsonValue, value)


class _Fields:
    """One object being read: hands its values out by type and knows in the end which ones nobody asked for."""

    def __init__(self, reader: _Reader, value: Mapping[str, object], place: str, *, void: bool = False) -> None:
        self.place = place
        self._reader = reader
        self._left = dict(value)
        self._void = void

    def take(self, key: str, *, required: bool = False, nullable: bool = False) -> object:
        if key not in self._left:
            if required and not self._void:
                self._reader.note("missing-field", self.place, f"{key!r} is missing")
            return None
        value = self._left.pop(key)
        if value is None and not nullable:
            self._reader.wrong(_pointer(self.place, key), "a value", None)
        return value

    def close(self) -> None:
        for key in self._left:
            self._reader.note("unknown-field", _pointer(self.place, key), f"{key!r} is no field of this object")

    def required_text(self, key: str) -> str:
        return self._of_type(key, str, "text", self.take(key, required=True)) or ""

    def text(self, key: str, *, nullable: bool = True) -> str | None:
        return self._of_type(key, str, "text", self.take(key, nullable=nullable))

    def integer(self, key: str, *, nullable: bool = True) -> int | None:
        value = self.take(key, nullable=nullable)
        if isinstance(value, bool):
            self._reader.wrong(_pointer(self.place, key), "a whole number", value)
            return None
        return self._of_type(key, int, "a whole number", value)

    def boolean(self, key: str) -> bool:
        return self._of_type(key, bool, "true or false", self.take(key)) or False

    def word(self, key: str, words: tuple[Word, ...], *, required: bool = False, nullable: bool = False) -> Word | None:
        value = self._of_type(key, str, "text", self.take(key, required=required, nullable=nullable))
        if value is None:
            return None
        for word in words:
            if word == value:
                return word
        place = _pointer(self.place, key)
        self._reader.note("unknown-word", place, f"{value!r} is not one of {', '.join(words)}")
        return None

    def each_of(self, key: str, read: Callable[[object, str], Value], *, required: bool = False) -> list[Value]:
        value = self.take(key, required=required)
        place = _pointer(self.place, key)
        if value is None:
            return []
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._reader.wrong(place, "a list", value)
            return []
        return [read(item, _pointer(place, index)) for index, item in enumerate(value)]

    def map_of(self, key: str, read: Callable[[object, str], Value]) -> dict[str, Value]:
        value = self.take(key)
        place = _pointer(self.place, key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._reader.wrong(place, "an object", value)
            return {}
        return {name: read(item, _pointer(place, name)) for name, item in value.items()}

    def _of_type(self, key: str, kind: type[Value], wanted: str, value: object) -> Value | None:
        if value is None or isinstance(value, kind):
            return value
        self._reader.wrong(_pointer(self.place, key), wanted, value)
        return None
