"""Follows a file's statements as Python would, over values of which some are unknown.

What stands under a condition that is not known is followed all the same, and whatever it makes is doubtful: `maybe`
holds the reasons. Nothing here calls the user's code: functions of the files are followed by their syntax, and of the
standard library only what `plain.py` and `known.py` list is computed.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pgdurable_airflow.importer.load.syntax.scopes import Module, Scope
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    Doubt,
    Function,
    Group,
    Task,
    Unknown,
    Value,
    is_plain,
)

MAX_STEPS: Final = 400_000
MAX_DEPTH: Final = 40
MAX_LOOP: Final = 20_000


class Raises(Exception):
    """The file itself would raise here; `name` is the exception's."""

    def __init__(self, name: str, message: str, file: str, line: int | None) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.file = file
        self.line = line


class TooMuchError(Exception):
    """Reading the file takes more steps than a reading may."""


@dataclass(slots=True)
class Reads:
    """What the file looked at while it was followed, with the first line that did; the names are the child's."""

    variables: dict[str, list[object]] = field(default_factory=dict)
    connections: dict[str, list[object]] = field(default_factory=dict)
    environment: dict[str, list[object]] = field(default_factory=dict)
    missing_variables: set[str] = field(default_factory=set)
    missing_connections: set[str] = field(default_factory=set)
    clock: set[tuple[str, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class World:
    """What surrounds a reading: folders, Variables, Connections, environment, configuration, the frozen clock."""

    roots: tuple[Path, ...]
    variables: Mapping[str, str]
    connections: Mapping[str, Mapping[str, object]]
    environment: Mapping[str, str]
    config: Mapping[str, object]
    now: datetime
    is_changed: bool


@dataclass(slots=True)
class Frame:
    """A function being followed: what it gave back or yielded so far."""

    function: Function | None
    self_value: Value = None
    yielded: list[Value] | None = None
    maybe_returned: list[Value] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Signal:
    """How a statement ends other than by going on: return, break or continue."""

    kind: str
    value: Value = None


class Machine:
    """One reading of one file."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.modules: dict[str, Module] = {}
        self.dags: list[Dag] = []
        self.dag_stack: list[Dag] = []
        self.group_stack: list[Group] = []
        self.maybe: list[Doubt] = []
        self.doubts: list[Doubt] = []
        self.reads = Reads()
        self.legacy: dict[str, str] = {}
        self.frames: list[Frame] = []
        self.made: dict[tuple[str, int, int], int] = {}
        self.reached: set[tuple[str, int, int]] = set()
        self.uncertain: dict[int, tuple[Value, Doubt]] = {}
        self.unknown_calls = 0
        self.steps = 0
        self.file = ""
        self.line = 0
        self.sites: list[tuple[str, int]] = []
        self.tasks: list[Task] = []

    # -- doubt ---------------------------------------------------------------------------------------------------------

    def doubt(self, what: str, node: ast.AST | None = None) -> Doubt:
        return Doubt(what, self.file, getattr(node, "lineno", self.line))

    def unknown(self, what: str, node: ast.AST | None = None, origin: str | None = None) -> Unknown:
        return Unknown(self.doubt(what, node), origin)

    def raises(self, name: str, message: str, node: ast.AST | None = None) -> Raises:
        return Raises(name, message, self.file, getattr(node, "lineno", self.line))

    def note_structure(self, dag: Dag | None, doubt: Doubt) -> None:
        """Say that the shape of a DAG is not certain; without a DAG, of every one in the file."""
        if dag is not None:
            dag.doubt(doubt)
        elif doubt not in self.doubts:
            self.doubts.append(doubt)

    @contextmanager
    def doubtful(self, doubt: Doubt) -> Iterator[None]:
        depth = len(self.maybe)
        self.maybe.append(doubt)
        try:
            yield
        finally:
            # What stuck meanwhile lies above and stays until its function ends.
            self.maybe.pop(depth)

    def changed(self, value: Value) -> None:
        """Remember that a list or dict was changed where it is not known whether that happens."""
        if self.maybe:
            self.uncertain[id(value)] = (value, self.maybe[-1])

    def settled(self, value: Value) -> Value:
        """Return a value, or Unknown where a doubtful statement changed it."""
        found = self.uncertain.get(id(value))
        return Unknown(found[1]) if found is not None and found[0] is value else value

    def step(self, node: ast.AST) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooMuchError
        self.line = getattr(node, "lineno", self.line)

    @property
    def site(self) -> tuple[str, int]:
        """Say where the innermost line of the user's that is being followed stands."""
        return self.file, self.line

    @property
    def dag(self) -> Dag | None:
        return self.dag_stack[-1] if self.dag_stack else None

    # -- statements ----------------------------------------------------------------------------------------------------

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> Signal | None:
        for statement in body:
            signal = self.statement(statement, scope)
            if signal is not None:
                return signal
        return None

    def statement(self, node: ast.stmt, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax import definitions, imports
        from pgdurable_airflow.importer.load.syntax.assignment import assign, augmented, delete
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate

        self.step(node)
        match node:
            case ast.Expr(value=value):
                evaluate(self, value, scope)
            case ast.Assign(targets=targets, value=value):
                found = evaluate(self, value, scope)
                for target in targets:
                    assign(self, target, found, scope)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    assign(self, target, evaluate(self, value, scope), scope)
            case ast.AugAssign():
                augmented(self, node, scope)
            case ast.If():
                return self._if(node, scope)
            case ast.For() | ast.AsyncFor():
                return self._for(node, scope)
            case ast.While():
                return self._while(node, scope)
            case ast.With() | ast.AsyncWith():
                return self._with(node.items, node, scope)
            case ast.Try() | ast.TryStar():
                return self._try(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                definitions.define_function(self, node, scope)
            case ast.ClassDef():
                definitions.define_class(self, node, scope)
            case ast.Import() | ast.ImportFrom():
                imports.follow(self, node, scope)
            case ast.Return(value=value):
                return Signal("return", evaluate(self, value, scope) if value is not None else None)
            case ast.Break():
                return Signal("break")
            case ast.Continue():
                return Signal("continue")
            case ast.Raise():
                return self._raise(node, scope)
            case ast.Delete(targets=targets):
                delete(self, targets, scope)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                scope.outer.update(names)
            case ast.Assert() | ast.Pass():
                pass
            case ast.Match():
                return self._match(node, scope)
            case _:
                self.note_structure(self.dag, self.doubt(f"a statement of kind {type(node).__name__}", node))
        return None

    def _if(self, node: ast.If, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate, truth

        test = truth(self, evaluate(self, node.test, scope), node.test)
        if not isinstance(test, Unknown):
            return self.run(node.body if test else node.orelse, scope)
        if _is_main_guard(node.test):
            return None
        doubt = Doubt(f"a condition that only running the file decides: {test.why.what}", self.file, node.lineno)
        return self.either(doubt, [node.body, node.orelse], scope)

    def either(self, doubt: Doubt, bodies: Sequence[Sequence[ast.stmt]], scope: Scope) -> Signal | None:
        """Follow bodies of which one runs and nobody knows which; what they bind differently is unknown after."""
        before = dict(scope.names)
        results: list[dict[str, Value]] = []
        signals: list[Signal | None] = []
        for body in bodies:
            scope.names.clear()
            scope.names.update(before)
            with self.doubtful(doubt):
                try:
                    signals.append(self.run(body, scope))
                except Raises:
                    # An arm that raises ends the file; the others then are the ones that run.
                    continue
            results.append(dict(scope.names))
        scope.names.clear()
        scope.names.update(_merged(results, before, doubt))
        kinds = {signal.kind for signal in signals if signal is not None}
        if len(signals) == len(bodies) and all(signal is not None for signal in signals) and len(kinds) == 1:
            only = signals[0]
            values = [signal.value for signal in signals if signal is not None]
            if only is not None and only.kind == "return":
                return Signal("return", values[0] if all(each is values[0] for each in values) else Unknown(doubt))
            return only
        if any(signal is not None for signal in signals):
            self._stick(doubt, [signal.value for signal in signals if signal is not None and signal.kind == "return"])
        return None

    def _stick(self, doubt: Doubt, returned: Sequence[Value]) -> None:
        """After a return or break that may happen, all that follows in the function is doubtful."""
        if self.frames:
            self.frames[-1].maybe_returned.extend(returned)
            self.maybe.append(doubt)
        else:
            self.note_structure(None, doubt)

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax.assignment import assign
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate, items_of

        items = items_of(self, evaluate(self, node.iter, scope), node.iter)
        if isinstance(items, Unknown):
            doubt = Doubt(f"a loop over something unknown: {items.why.what}", self.file, node.lineno)
            before = dict(scope.names)
            with self.doubtful(doubt):
                assign(self, node.target, Unknown(doubt), scope)
                self.run(node.body, scope)
            after = dict(scope.names)
            scope.names.clear()
            scope.names.update(_merged([before, after], before, doubt))
            return None
        for item in items:
            assign(self, node.target, item, scope)
            signal = self.run(node.body, scope)
            if signal is not None and signal.kind == "break":
                return None
            if signal is not None and signal.kind == "return":
                return signal
        return self.run(node.orelse, scope)

    def _while(self, node: ast.While, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate, truth

        for _ in range(MAX_LOOP):
            test = truth(self, evaluate(self, node.test, scope), node.test)
            if isinstance(test, Unknown):
                return self.either(
                    Doubt("a loop that only running the file ends", self.file, node.lineno), [node.body, []], scope
                )
            if not test:
                return self.run(node.orelse, scope)
            signal = self.run(node.body, scope)
            if signal is not None and signal.kind != "continue":
                return signal if signal.kind == "return" else None
        raise TooMuchError

    def _with(self, items: list[ast.withitem], node: ast.With | ast.AsyncWith, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax import contexts

        return contexts.follow(self, items, node, scope)

    def _try(self, node: ast.Try | ast.TryStar, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax import handling

        return handling.follow(self, node, scope)

    def _raise(self, node: ast.Raise, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate

        name, message = "Exception", ""
        if isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func).rpartition(".")[2]
            if node.exc.args:
                value = evaluate(self, node.exc.args[0], scope)
                message = value if isinstance(value, str) else ast.unparse(node.exc.args[0])
        elif node.exc is not None:
            name = ast.unparse(node.exc).rpartition(".")[2]
        raise self.raises(name, message, node)

    def _match(self, node: ast.Match, scope: Scope) -> Signal | None:
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate

        subject = evaluate(self, node.subject, scope)
        if is_plain(subject):
            for case in node.cases:
                if case.guard is not None:
                    break
                match case.pattern:
                    case ast.MatchValue(value=ast.Constant(value=wanted)):
                        if subject == wanted:
                            return self.run(case.body, scope)
                    case ast.MatchAs(pattern=None, name=None):
                        return self.run(case.body, scope)
                    case _:
                        break
            else:
                return None
        doubt = Doubt("a match that only running the file decides", self.file, node.lineno)
        return self.either(doubt, [*(case.body for case in node.cases), []], scope)

    # -- calls of the user's own functions -----------------------------------------------------------------------------

    def follow(
        self,
        function: Function,
        args: Sequence[Value],
        kwargs: Mapping[str, Value],
        node: ast.AST,
        self_value: Value = None,
    ) -> Value:
        """Follow a function of the user's files for these arguments, and return what it gives."""
        from pgdurable_airflow.importer.load.syntax.definitions import bind_arguments
        from pgdurable_airflow.importer.load.syntax.expressions import evaluate

        if len(self.frames) > MAX_DEPTH:
            return self.unknown("functions nested too deep", node)
        names = bind_arguments(self, function, args, kwargs, node)
        scope = Scope(function.module, names, function.scope, function.qualname, cls=function.owner)
        generates = not isinstance(function.node, ast.Lambda) and _yields(function.node)
        frame = Frame(function, self_value, [] if generates else None)
        here = self.site
        self.sites.append(here)
        self.frames.append(frame)
        depth = len(self.maybe)
        self.file = str(function.module.file)
        try:
            if isinstance(function.node, ast.Lambda):
                return evaluate(self, function.node.body, scope)
            signal = self.run(function.node.body, scope)
        finally:
            self.frames.pop()
            self.sites.pop()
            stuck = self.maybe[depth:]
            del self.maybe[depth:]
            self.file, self.line = here
        if frame.yielded is not None:
            return Unknown(stuck[0]) if stuck else frame.yielded
        value = signal.value if signal is not None else None
        if frame.maybe_returned:
            same = all(each is value for each in frame.maybe_returned)
            return value if same else Unknown(stuck[0] if stuck else self.doubt("what a function gives back", node))
        return value

    def builtin(self, name: str) -> bool:
        return hasattr(builtins, name)


def _merged(results: Sequence[Mapping[str, Value]], before: Mapping[str, Value], doubt: Doubt) -> dict[str, Value]:
    if not results:
        return dict(before)
    found: dict[str, Value] = {}
    for name in dict.fromkeys(name for result in results for name in result):
        values = [result[name] for result in results if name in result]
        whole = len(values) == len(results)
        if whole and all(_same(each, values[0]) for each in values):
            found[name] = values[0]
        else:
            found[name] = Unknown(doubt)
    return found


def _same(one: Value, other: Value) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and is_plain(one) and is_plain(other) and bool(one == other)


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _yields(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    pending: list[ast.AST] = list(node.body)
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(inner))
    return False
