"""What the child said, as values: immutable, and typed where rules look at them.

A `Fact` is JSON; what JSON has no form for is an object with the key `$` (`load/child.py`, `encode`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias, TypeGuard, Union, cast

Fact: TypeAlias = Union[bool, int, float, str, list["Fact"], dict[str, "Fact"], None]  # noqa: UP007
Row: TypeAlias = dict[str, Fact]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a callable; `kind` is Python's word (POSITIONAL_OR_KEYWORD, VAR_KEYWORD, …)."""

    name: str
    kind: str
    has_default: bool


@dataclass(frozen=True, slots=True)
class Use:
    """A name a callable reaches: `kind` is module, function, class, value or import.

    Static reading also says name, for one imported from a module that it does not look into, and unknown.
    """

    name: str
    kind: str
    module: str
    file: str | None


@dataclass(frozen=True, slots=True)
class CallableFacts:
    """A callable, as far as it can be known without calling it; `line` is that of its first decorator."""

    name: str
    module: str
    qualname: str
    file: Path | None
    line: int | None
    column: int | None
    source: str | None
    parameters: tuple[Parameter, ...]
    nonlocals: tuple[str, ...]
    uses: tuple[Use, ...]
    is_bound: bool
    is_reachable: bool

    @property
    def def_line(self) -> int | None:
        """Say where `def` itself stands, below the decorators."""
        if self.line is None or self.source is None:
            return self.line
        for offset, text in enumerate(self.source.splitlines()):
            if text.lstrip().startswith(("def ", "async def ")):
                return self.line + offset
        return self.line


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class of an operator's ancestry, with what of execution it defines itself."""

    name: str
    own: frozenset[str]
    defaults: frozenset[str]
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template file a task names; `text` is None when it cannot be found, and `error` says why."""

    text: str | None
    path: Path | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What reading without running cannot tell, and the line that makes it so."""

    what: str
    file: Path | None
    line: int | None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as Airflow holds it. `given` are the exact constructor arguments, `attributes` what the object has."""

    task_id: str
    file: Path | None
    line: int | None
    is_mapped: bool
    is_stub: bool
    in_mapped_group: bool
    classes: tuple[ClassFacts, ...]
    upstream: tuple[str, ...]
    fields: Mapping[str, Fact]
    hooks: Mapping[str, Fact]
    given: Mapping[str, Fact]
    attributes: Mapping[str, Fact]
    expand_kind: str | None
    expand: Fact
    files: Mapping[str, TemplateFile]
    template_fields: tuple[str, ...]
    template_ext: tuple[str, ...]
    callable: CallableFacts | None
    table: Fact
    rendered: tuple[Fact, ...]
    doubts: tuple[Doubt, ...] = ()

    @property
    def operator(self) -> str:
        """Name the class, without its module."""
        return self.classes[0].name.rpartition(".")[2] if self.classes else "?"


@dataclass(frozen=True, slots=True)
class DagFacts:
    """A DAG as Airflow holds it."""

    dag_id: str
    file: Path
    line: int | None
    given: frozenset[str]
    fields: Mapping[str, Fact]
    timezone: str
    start_date: Fact
    timetable: Mapping[str, Fact]
    default_args: Mapping[str, Fact]
    params: Mapping[str, Fact]
    tags: tuple[str, ...]
    callbacks: Mapping[str, Fact]
    macros: frozenset[str]
    filters: frozenset[str]
    groups: tuple[Row, ...]
    runs: Fact
    tasks: tuple[TaskFacts, ...]
    doubts: tuple[Doubt, ...] = ()

    def task(self, task_id: str) -> TaskFacts | None:
        """Find a task by its id."""
        return next((task for task in self.tasks if task.task_id == task_id), None)


class OpaqueError(ValueError):
    """A fact has no plain value; the message says what stands there."""


def tag(fact: Fact) -> str | None:
    """Say what kind of value stands here when JSON has no form for it."""
    return str(fact["$"]) if isinstance(fact, dict) and "$" in fact else None


def is_row(fact: Fact) -> TypeGuard[Row]:
    """Say whether the fact is an object."""
    return isinstance(fact, dict)


def items(fact: Fact) -> dict[str, Fact]:
    """Read a tagged dict with text keys; anything else is empty."""
    if tag(fact) != "dict" or not isinstance(fact, dict):
        return {}
    pairs = cast("list[list[Fact]]", fact["items"])
    return {str(key): value for key, value in pairs}


def elements(fact: Fact) -> list[Fact]:
    """Read a list or tuple; anything else is empty."""
    if isinstance(fact, list):
        return fact
    if tag(fact) == "tuple" and isinstance(fact, dict):
        return cast("list[Fact]", fact["items"])
    return []


def is_absent(fact: Fact) -> bool:
    """Say whether a fact is Airflow's way of saying nothing."""
    return fact is None or tag(fact) == "notset"


def plain(fact: Fact) -> object:
    """Turn a fact into the Python value it stands for. Raises OpaqueError for functions, objects and references."""
    match tag(fact):
        case None:
            return [plain(item) for item in fact] if isinstance(fact, list) else fact
        case "tuple":
            return tuple(plain(item) for item in elements(fact))
        case "dict":
            return {key: plain(value) for key, value in items(fact).items()}
        case "decimal":
            return Decimal(str(cast("Row", fact)["text"]))
        case "date":
            return date.fromisoformat(str(cast("Row", fact)["iso"]))
        case "datetime":
            return datetime.fromisoformat(str(cast("Row", fact)["iso"]))
        case "literal":
            return plain(cast("Row", fact)["value"])
        case kind:
            raise OpaqueError(_describe(kind, cast("Row", fact)))


def _describe(kind: str, fact: Row) -> str:
    match kind:
        case "object":
            return f"an object of {fact.get('class')}"
        case "callable":
            return "a function"
        case "xcom" | "xcommap" | "xcomother":
            return "the result of another task"
        case "stub":
            return f"something from a missing module ({fact.get('path')})"
        case "timedelta":
            return "a timedelta"
        case "unknown":
            return f"known only when the file runs ({fact.get('what')})"
        case _:
            return f"a {kind}"


def holds_stub(fact: Fact) -> bool:
    """Say whether a value from a missing module is in there, itself or as the text the reading makes of one."""
    if isinstance(fact, str):
        return "<stub " in fact
    if isinstance(fact, list):
        return any(holds_stub(item) for item in fact)
    return isinstance(fact, dict) and (fact.get("$") == "stub" or any(holds_stub(item) for item in fact.values()))


def seconds(fact: Fact) -> float | None:
    """Read a timedelta, or a number of seconds as Airflow takes it."""
    if tag(fact) == "timedelta" and isinstance(fact, dict):
        return cast("float", fact["seconds"])
    if isinstance(fact, int | float) and not isinstance(fact, bool):
        return float(fact)
    return None


def callable_of(fact: Fact) -> CallableFacts | None:
    """Read a callable, also through a partial."""
    if isinstance(fact, dict) and tag(fact) in ("callable", "partial"):
        return read_callable(cast("Row", fact["callable"]))
    return None


def read_callable(row: Row) -> CallableFacts:
    """Read the child's description of a callable."""
    file = row.get("file")
    source = row.get("source")
    return CallableFacts(
        name=str(row["name"]),
        module=str(row.get("module")),
        qualname=str(row["qualname"]),
        file=Path(file) if isinstance(file, str) else None,
        line=cast("int | None", row.get("line")),
        column=cast("int | None", row.get("column")),
        source=source if isinstance(source, str) else None,
        parameters=tuple(
            Parameter(str(each["name"]), str(each["kind"]), bool(each["has_default"])) for each in _rows(row["params"])
        ),
        nonlocals=tuple(str(elements(pair)[0]) for pair in elements(row.get("nonlocals"))),
        uses=tuple(
            Use(str(use["name"]), str(use["kind"]), str(use["module"]), cast("str | None", use.get("file")))
            for use in _rows(row["uses"])
        ),
        is_bound=bool(row.get("bound")),
        is_reachable=bool(row.get("reachable")),
    )


def read_dag(row: Row) -> DagFacts:
    """Read the child's description of a DAG."""
    return DagFacts(
        dag_id=str(row["dag_id"]),
        file=Path(str(row["file"])),
        line=cast("int | None", row["line"]),
        given=frozenset(_texts(row["given"])),
        fields=cast("Row", row["fields"]),
        timezone=str(row["timezone"]),
        start_date=row["start_date"],
        timetable=cast("Row", row["timetable"]),
        default_args=items(row["default_args"]),
        params=items(row["params"]),
        tags=tuple(_texts(row["tags"])),
        callbacks=cast("Row", row["callbacks"]),
        macros=frozenset(_texts(row["macros"])),
        filters=frozenset(_texts(row["filters"])),
        groups=tuple(_rows(row["groups"])),
        runs=row["runs"],
        tasks=tuple(_read_task(task) for task in _rows(row["tasks"])),
        doubts=read_doubts(row.get("doubts")),
    )


def _read_task(row: Row) -> TaskFacts:
    expand = cast("Row", row.get("expand") or {})
    file = row["file"]
    found = row.get("callable")
    return TaskFacts(
        task_id=str(row["task_id"]),
        file=Path(file) if isinstance(file, str) else None,
        line=cast("int | None", row["line"]),
        is_mapped=bool(row["mapped"]),
        is_stub=bool(row["stub"]),
        in_mapped_group=bool(row["mapped_group"]),
        classes=tuple(_read_class(each) for each in _rows(row["classes"])),
        upstream=tuple(_texts(row["upstream"])),
        fields=cast("Row", row["fields"]),
        hooks=cast("Row", row["hooks"]),
        given=cast("Row", row["given"]),
        attributes=cast("Row", row["attributes"]),
        expand_kind=str(expand["kind"]) if expand else None,
        expand=expand.get("value"),
        files={name: _read_file(cast("Row", each)) for name, each in cast("Row", row["files"]).items()},
        template_fields=tuple(_texts(row["template_fields"])),
        template_ext=tuple(_texts(row["template_ext"])),
        callable=read_callable(found) if is_row(found) else None,
        table=row.get("table"),
        rendered=tuple(elements(row.get("rendered"))),
        doubts=read_doubts(row.get("doubts")),
    )


def read_doubts(fact: Fact) -> tuple[Doubt, ...]:
    """Read a list of doubts; live reading has none."""
    return tuple(_doubt(each) for each in _rows(fact))


def _doubt(row: Row) -> Doubt:
    file = row.get("file")
    return Doubt(
        str(row.get("what")),
        Path(file) if isinstance(file, str) and file else None,
        cast("int | None", row.get("line")),
    )


def first_unknown(fact: Fact) -> Doubt | None:
    """Find the first value in there that static reading does not know."""
    if isinstance(fact, list):
        return next((found for item in fact if (found := first_unknown(item)) is not None), None)
    if not isinstance(fact, dict):
        return None
    if fact.get("$") == "unknown":
        return _doubt(fact)
    return next((found for item in fact.values() if (found := first_unknown(item)) is not None), None)


def _read_class(row: Row) -> ClassFacts:
    return ClassFacts(
        name=str(row["name"]),
        own=frozenset(_texts(row["own"])),
        defaults=frozenset(_texts(row.get("defaults"))),
        methods=frozenset(_texts(row.get("methods"))),
    )


def _read_file(row: Row) -> TemplateFile:
    path, text, error = row.get("path"), row.get("text"), row.get("error")
    return TemplateFile(
        text=text if isinstance(text, str) else None,
        path=Path(path) if isinstance(path, str) else None,
        error=error if isinstance(error, str) else None,
    )


def _rows(fact: Fact) -> Sequence[Row]:
    return [item for item in elements(fact) if is_row(item)]


def _texts(fact: Fact) -> list[str]:
    return [str(item) for item in elements(fact)]
