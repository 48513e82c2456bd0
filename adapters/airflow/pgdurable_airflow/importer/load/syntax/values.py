"""The values a file works with while it is read.

Texts, numbers, lists, dicts and dates are Python's own. Everything else is one of the symbols below. What cannot be
known is `Unknown`, and says which line made it so; nothing is ever guessed in its place.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pgdurable_airflow.importer.load.syntax.scopes import Module, Scope

Value: TypeAlias = object
PLAIN = (bool, int, float, str, bytes, type(None), date, datetime, time, timedelta, tzinfo, Decimal, PurePath, range)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that reading alone cannot tell: what, and where it stands."""

    what: str
    file: str
    line: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """A value that reading alone cannot tell. `origin` is the dotted name of what made it, where that is known."""

    why: Doubt
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A name from a module that is not read: `airflow.sdk.DAG`, `os.path.join`, `requests`."""

    path: str
    is_module: bool = False

    @property
    def root(self) -> str:
        return self.path.partition(".")[0]


@dataclass(slots=True, eq=False)
class Function:
    """A function or lambda of the user's files, with the scope it sees and its defaults as evaluated."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: "Module"
    scope: "Scope"
    qualname: str
    defaults: list[Value]
    keyword_defaults: dict[str, Value]
    owner: "Class | None" = None
    is_plain: bool = True

    @property
    def name(self) -> str:
        return "<lambda>" if isinstance(self.node, ast.Lambda) else self.node.name

    @property
    def first_line(self) -> int:
        """Say where Python counts a function from: its first decorator."""
        if isinstance(self.node, ast.Lambda) or not self.node.decorator_list:
            return self.node.lineno
        return min(self.node.lineno, *(each.lineno for each in self.node.decorator_list))

    @property
    def docstring(self) -> str | None:
        return None if isinstance(self.node, ast.Lambda) else ast.get_docstring(self.node, clean=False)


@dataclass(slots=True, eq=False)
class Class:
    """A class of the user's files. `ancestors` are its user-written bases in the order of resolution, itself first."""

    node: ast.ClassDef
    module: "Module"
    qualname: str
    names: dict[str, Value]
    bases: list[Value]
    ancestors: "list[Class]"
    library: str | None
    is_understood: bool

    @property
    def name(self) -> str:
        return self.node.name

    def find(self, name: str) -> Value | None:
        return next((each.names[name] for each in self.ancestors if name in each.names), None)


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a user-written class."""

    cls: Class
    attributes: dict[str, Value] = field(default_factory=dict)
    task: "Task | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A method with its object."""

    function: Function
    owner: Value


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method of a plain value or of one of the symbols here, by name."""

    owner: Value
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Super:
    """`super()` inside a method."""

    cls: Class
    owner: Instance


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """`functools.partial`."""

    function: Value
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]


@dataclass(slots=True, eq=False)
class Made:
    """An object of a library class that needs no more than its name and arguments: a Param, an asset, a timetable."""

    kind: str
    args: tuple[Value, ...]
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class Task:
    """A task. `given` are the constructor's arguments; `operator` the full name of a class, own classes before it."""

    task_id: str | None
    operator: str
    given: dict[str, Value]
    file: str
    line: int
    own: list[Class] = field(default_factory=list)
    dag: "Dag | None" = None
    group: "Group | None" = None
    function: Value = None
    upstream: "list[Task]" = field(default_factory=list)
    downstream: "list[Task]" = field(default_factory=list)
    fields: dict[str, Value] = field(default_factory=dict)
    attributes: dict[str, Value] = field(default_factory=dict)
    base_arguments: dict[str, Value] = field(default_factory=dict)
    expand_kind: str | None = None
    expand: Value = None
    doubts: list[Doubt] = field(default_factory=list)
    is_unknown_class: bool = False
    params: dict[str, Value] = field(default_factory=dict)

    @property
    def is_mapped(self) -> bool:
        return self.expand_kind is not None


@dataclass(slots=True, eq=False)
class Group:
    """A task group; the root of a DAG has no id."""

    group_id: str | None
    dag: "Dag"
    parent: "Group | None"
    prefix: bool = True
    default_args: dict[str, Value] = field(default_factory=dict)
    tooltip: Value = ""
    children: "list[Task | Group]" = field(default_factory=list)
    upstream_tasks: list[Task] = field(default_factory=list)
    mapped: Value = None

    def child_id(self, name: str) -> str:
        """Put the group's id before a name, unless it does not prefix."""
        return f"{self.group_id}.{name}" if self.prefix and self.group_id else name

    def tasks(self) -> list[Task]:
        found: list[Task] = []
        for child in self.children:
            found += child.tasks() if isinstance(child, Group) else [child]
        return found

    @property
    def is_mapped(self) -> bool:
        return self.mapped is not None or (self.parent is not None and self.parent.is_mapped)


@dataclass(slots=True, eq=False)
class Dag:
    """A DAG under construction."""

    dag_id: Value
    given: dict[str, Value]
    file: str
    line: int
    default_args: dict[str, Value]
    params: dict[str, Value]
    root: Group = field(init=False)
    tasks: dict[str, Task] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    doc_md: Value = None
    zone: Value = None
    start_date: Value = None
    is_registered: bool = False
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = Group(None, self, None)

    def doubt(self, doubt: Doubt) -> None:
        if doubt not in self.doubts:
            self.doubts.append(doubt)


@dataclass(frozen=True, slots=True, eq=False)
class XCom:
    """The result of a task, or one key of it."""

    task: Task
    key: str = "return_value"


@dataclass(frozen=True, slots=True, eq=False)
class XComMap:
    """A result with functions over its items."""

    arg: Value
    functions: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class XComOther:
    """A result made of several."""

    kind: str
    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GroupArgument:
    """What a mapped task group hands to its tasks."""

    key: str


@dataclass(frozen=True, slots=True, eq=False)
class DagArgument:
    """An argument of a @dag function, known when a run starts."""

    name: str


@dataclass(slots=True, eq=False)
class Decorated:
    """A function under @task, not called yet."""

    function: Function
    operator: str
    kwargs: dict[str, Value]
    multiple_outputs: Value
    setup: str | None = None


@dataclass(slots=True, eq=False)
class TaskDecorator:
    """`@task.something(...)`, waiting for its function."""

    kind: str
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class OperatorPartial:
    """`Operator.partial(...)`."""

    operator: str
    kwargs: dict[str, Value]
    own: list[Class]
    is_unknown_class: bool


@dataclass(slots=True, eq=False)
class GroupFactory:
    """A function under @task_group."""

    function: Function
    kwargs: dict[str, Value]
    partial: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class DagFactory:
    """A function under @dag."""

    function: Function
    dag_id: Value
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class Decorator:
    """`@dag(...)` or `@task_group(...)`, waiting for its function."""

    kind: str
    args: tuple[Value, ...]
    kwargs: dict[str, Value]


@dataclass(slots=True, eq=False)
class Label:
    """A label between two edges."""

    text: Value
    upstream: list[Value] = field(default_factory=list)
    downstream: list[Value] = field(default_factory=list)


def is_plain(value: Value, depth: int = 0) -> bool:
    """Say whether a value is wholly known and Python's own."""
    if isinstance(value, PLAIN):
        return True
    if depth > 30:
        return False
    if isinstance(value, dict):
        return all(is_plain(key, depth + 1) and is_plain(inner, depth + 1) for key, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_plain(inner, depth + 1) for inner in value)
    return False


def first_unknown(value: Value, depth: int = 0) -> Unknown | None:
    """Find what is not known inside a value."""
    if isinstance(value, Unknown):
        return value
    if depth > 30:
        return None
    if isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif isinstance(value, XComMap):
        inside = [value.arg]
    else:
        return None
    return next((found for inner in inside if (found := first_unknown(inner, depth + 1)) is not None), None)
