"""`try`: the body, and the handlers where it is not known whether the body gets through."""

import ast
import builtins
import sys

from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.machine import Machine, Raises, Signal, _merged
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import Doubt, Imported, Unknown, Value

_IMPORTS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def follow(machine: Machine, node: ast.Try | ast.TryStar, scope: Scope) -> Signal | None:
    """Follow a try statement."""
    before = dict(scope.names)
    calls = machine.unknown_calls
    signal: Signal | None = None
    try:
        signal = machine.run(node.body, scope)
    except Raises as error:
        handler = next((each for each in node.handlers if _catches(each, error.name)), None)
        if handler is None:
            machine.run(node.finalbody, scope)
            raise
        if handler.name:
            scope.bind(handler.name, machine.unknown("an exception", handler))
        signal = machine.run(handler.body, scope)
        return signal or machine.run(node.finalbody, scope)
    if signal is None:
        signal = machine.run(node.orelse, scope)
    shaky = _shaky_imports(node, scope)
    if node.handlers and (machine.unknown_calls > calls or shaky):
        _handlers(machine, node, scope, before, shaky if machine.unknown_calls == calls else None)
    return signal or machine.run(node.finalbody, scope)


def _handlers(
    machine: Machine, node: ast.Try | ast.TryStar, scope: Scope, before: dict[str, Value], only: list[str] | None
) -> None:
    """Follow handlers that may run, each from where the body began."""
    what = f"whether {', '.join(only)} is installed" if only else "whether something in a try fails"
    doubt = Doubt(what, machine.file, node.lineno)
    after = dict(scope.names)
    results = [after]
    for handler in node.handlers:
        if only is not None and not any(_catches(handler, name) for name in _IMPORTS):
            continue
        scope.names.clear()
        scope.names.update({**before, **after} if only else before)
        if handler.name:
            scope.bind(handler.name, Unknown(doubt))
        with machine.doubtful(doubt):
            try:
                machine.run(handler.body, scope)
            except Raises:
                # A handler that raises on ends the file; then the body got through.
                continue
        results.append(dict(scope.names))
    scope.names.clear()
    scope.names.update(_merged(results, before, doubt) if len(results) > 1 else after)


def _catches(handler: ast.ExceptHandler, name: str) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    raised = getattr(builtins, name, None)
    for kind in kinds:
        word = ast.unparse(kind).rpartition(".")[2]
        known = getattr(builtins, word, None)
        if word == name or word in ("Exception", "BaseException"):
            return True
        if isinstance(raised, type) and isinstance(known, type) and issubclass(raised, known):
            return True
    return False


def _shaky_imports(node: ast.Try | ast.TryStar, scope: Scope) -> list[str]:
    """Name the modules whose import in the body may fail: neither Python's, nor a sibling, nor known of Airflow."""
    if not any(_catches(each, "ImportError") for each in node.handlers):
        return []
    found: list[str] = []
    for statement in node.body:
        if isinstance(statement, ast.Import):
            names = [(alias.name, alias.asname or alias.name.partition(".")[0]) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [(f"{statement.module}.{alias.name}", alias.asname or alias.name) for alias in statement.names]
        else:
            continue
        for dotted, bound in names:
            value = scope.names.get(bound)
            root = dotted.partition(".")[0]
            if not isinstance(value, Imported) or root in sys.stdlib_module_names:
                continue
            if root in ("airflow", "pendulum") and (
                library.entry(dotted) is not None or dotted in library.OLD_NAMES or root == "pendulum"
            ):
                continue
            found.append(dotted)
    return found
