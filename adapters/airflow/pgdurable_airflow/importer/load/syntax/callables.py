"""What can be said of a callable by its syntax: the child's words for it, `callable_facts` of load/child.py.

Python's own compiler names the globals a function reaches; the code it makes is looked at and never run.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Final

from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.scopes import Module
from pgdurable_airflow.importer.load.syntax.values import (
    Class,
    Dag,
    DagFactory,
    Decorated,
    Function,
    GroupFactory,
    Imported,
    Instance,
    Made,
    Partial,
    Task,
    Unknown,
    Value,
    XCom,
)

# Modules of Python's that may be imported to see what their names are.
_LOOKED_INTO: Final = frozenset(
    [
        "base64",
        "collections",
        "contextlib",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "functools",
        "glob",
        "gzip",
        "hashlib",
        "io",
        "itertools",
        "json",
        "logging",
        "math",
        "operator",
        "os",
        "pathlib",
        "random",
        "re",
        "shutil",
        "statistics",
        "string",
        "subprocess",
        "tempfile",
        "textwrap",
        "time",
        "typing",
        "urllib.parse",
        "urllib.request",
        "uuid",
        "warnings",
        "zoneinfo",
        "os.path",
        "smtplib",
        "traceback",
        "types",
        "zipfile",
        "sqlite3",
    ]
)


def facts_of(machine: Machine, value: Value, encode: "object") -> dict[str, Fact]:
    """Describe a callable."""
    while isinstance(value, Partial):
        value = value.function
    if isinstance(value, Decorated | GroupFactory | DagFactory):
        value = value.function
    if isinstance(value, Imported):
        full = library.full_name(value.path)
        module, _, name = full.rpartition(".")
        return {"module": module, "qualname": name, "name": name, "bound": False, "file": None, "line": None,
                "params": [], "uses": [], "source": None}  # fmt: skip
    if not isinstance(value, Function):
        kind = type(value).__name__
        return {"module": None, "qualname": kind, "name": kind, "bound": True, "file": None, "line": None,
                "params": [], "uses": [], "source": None}  # fmt: skip
    code = code_of(value)
    lines = value.module.lines[value.first_line - 1 :]
    return {
        "module": value.module.name,
        "qualname": code.co_qualname if code is not None else value.qualname,
        "name": value.name,
        "bound": False,
        "file": str(value.module.file),
        "line": value.first_line,
        "reachable": _is_reachable(value),
        "column": _column(code) if code is not None and value.name == "<lambda>" else None,
        "is_generator": code is not None and bool(code.co_flags & inspect.CO_GENERATOR),
        "is_async": isinstance(value.node, ast.AsyncFunctionDef),
        "source": _source(lines),
        "params": _parameters(value, encode),
        "nonlocals": _nonlocals(value, code, encode),
        "uses": list(_uses(machine, value, set())),
    }


def _source(lines: list[str]) -> str | None:
    try:
        return "".join(inspect.getblock(lines))
    except (SyntaxError, IndentationError, ValueError):
        return None


def code_of(function: Function) -> CodeType | None:
    """Find the code Python's compiler makes of a function; of several lambdas of a line, by their column."""
    found = [code for code in _codes(function.module.code) if code.co_firstlineno == function.first_line]
    if not isinstance(function.node, ast.Lambda):
        return next((code for code in found if code.co_name == function.name), None)
    start, end = function.node.col_offset, function.node.end_col_offset or 0
    inside = [
        code
        for code in found
        if code.co_name == "<lambda>" and (column := _column(code)) is not None and start <= column <= end
    ]
    # The outermost of those that lie within this lambda is this lambda.
    return min(inside, key=lambda code: _column(code) or 0, default=None)


def _codes(code: CodeType | None) -> Iterator[CodeType]:
    pending = [code] if code is not None else []
    while pending:
        current = pending.pop()
        yield current
        pending += [each for each in current.co_consts if isinstance(each, CodeType)]


def _column(code: CodeType) -> int | None:
    columns = [
        position[2]
        for position in code.co_positions()
        if position[2] is not None and position[0] == code.co_firstlineno and position[3] != position[2]
    ]
    return min(columns) if columns else None


def _is_reachable(function: Function) -> bool:
    """Say whether `module:qualname` leads to this very function once the file is read."""
    if "<" in function.qualname or function.owner is not None or function.scope.parent is not None:
        return False
    found = function.module.names.get(function.name)
    if isinstance(found, Decorated | GroupFactory | DagFactory):
        found = found.function
    return found is function


def _parameters(function: Function, encode: "object") -> list[Fact]:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = len(positional) - len(function.defaults)
    kinds = ["POSITIONAL_ONLY"] * len(arguments.posonlyargs) + ["POSITIONAL_OR_KEYWORD"] * len(arguments.args)
    found: list[tuple[str, str, bool, Value]] = []
    for number, (each, kind) in enumerate(zip(positional, kinds, strict=True)):
        has = number >= missing
        found.append((each.arg, kind, has, function.defaults[number - missing] if has else None))
    if arguments.vararg is not None:
        found.append((arguments.vararg.arg, "VAR_POSITIONAL", False, None))
    for each in arguments.kwonlyargs:
        has = each.arg in function.keyword_defaults
        found.append((each.arg, "KEYWORD_ONLY", has, function.keyword_defaults.get(each.arg)))
    if arguments.kwarg is not None:
        found.append((arguments.kwarg.arg, "VAR_KEYWORD", False, None))
    return [
        {"name": name, "kind": kind, "has_default": has, "default": encode(value) if has else None}  # type: ignore[operator]
        for name, kind, has, value in found
    ]


def _nonlocals(function: Function, code: CodeType | None, encode: "object") -> list[Fact]:
    found: list[Fact] = []
    for name in code.co_freevars if code is not None else ():
        is_there, value = function.scope.find(name)
        found.append([name, encode(value) if is_there else {"$": "unbound"}])  # type: ignore[operator]
    return found


def _uses(machine: Machine, function: Function, seen: set[int], depth: int = 0) -> Iterator[dict[str, Fact]]:
    code = code_of(function)
    if code is None or id(code) in seen or depth > 20:
        return
    seen.add(id(code))
    names = sorted({name for each in _codes(code) for name in each.co_names})
    reached = [(name, function.module.names[name]) for name in names if name in function.module.names]
    for name in sorted(code.co_freevars):
        is_there, value = function.scope.find(name)
        if is_there:
            reached.append((name, value))
    for name, value in reached:
        target = value.function if isinstance(value, Decorated) else value
        yield _use(name, target)
        if isinstance(target, Function):
            yield from _uses(machine, target, seen, depth + 1)
    for name, line in _inner_imports(function):
        yield {"name": name, "kind": "import", "module": name, "file": _sibling(machine, name), "line": line}


def _sibling(machine: Machine, name: str) -> str | None:
    for root in machine.world.roots:
        base = root.joinpath(*name.split("."))
        for candidate in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if candidate.is_file():
                return str(candidate.resolve())
    return None


def _use(name: str, value: Value) -> dict[str, Fact]:
    match value:
        case Module():
            return {"name": name, "kind": "module", "module": value.name, "file": str(value.file)}
        case Function():
            return {"name": name, "kind": "function", "module": value.module.name, "file": str(value.module.file)}
        case Class():
            return {"name": name, "kind": "class", "module": value.module.name, "file": str(value.module.file)}
        case Imported():
            return _imported(name, value)
        case Instance():
            return {
                "name": name,
                "kind": "value",
                "module": value.cls.module.name,
                "class": value.cls.name,
                "file": None,
            }
        case Dag() | Task() | XCom() | DagFactory() | GroupFactory() | Made():
            return {"name": name, "kind": "value", "module": "airflow.sdk", "class": type(value).__name__, "file": None}
        case Unknown():
            origin = value.origin or ""
            root = origin.partition(".")[0]
            known = root in sys.stdlib_module_names or root in ("airflow", "builtins")
            return {"name": name, "kind": "value" if known else "unknown", "module": origin or value.why.what,
                    "class": "", "file": None}  # fmt: skip
    kind = type(value)
    return {"name": name, "kind": "value", "module": kind.__module__, "class": kind.__name__, "file": None}


def _imported(name: str, value: Imported) -> dict[str, Fact]:
    if value.is_module:
        shown = "posixpath" if value.path == "os.path" else value.path
        return {"name": name, "kind": "module", "module": shown, "file": None}
    module, _, leaf = value.path.rpartition(".")
    if value.root == "airflow":
        found = library.entry(library.LEGACY.get(value.path, value.path))
        kind, full = found if found is not None else ("name", value.path)
        place = full.rpartition(".")[0]
        return {"name": name, "kind": kind, "module": place, "file": place if kind == "function" else None}
    if module in _LOOKED_INTO:
        return _of_python(name, module, leaf)
    return {"name": name, "kind": "name", "module": module, "file": None}


def _of_python(name: str, module: str, leaf: str) -> dict[str, Fact]:
    target = getattr(importlib.import_module(module), leaf, None)
    if inspect.ismodule(target):
        return {"name": name, "kind": "module", "module": target.__name__, "file": None}
    if inspect.isfunction(target):
        return {"name": name, "kind": "function", "module": target.__module__, "file": target.__code__.co_filename}
    if inspect.isclass(target):
        return {"name": name, "kind": "class", "module": target.__module__, "file": None}
    return {"name": name, "kind": "value", "module": type(target).__module__, "class": type(target).__name__,
            "file": None}  # fmt: skip


def _inner_imports(function: Function) -> list[tuple[str, int]]:
    if isinstance(function.node, ast.Lambda):
        return []
    offset = function.first_line - 1
    found: list[tuple[str, int]] = []
    for node in ast.walk(function.node):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno - offset) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, node.lineno - offset))
            found += [(f"{node.module}.{alias.name}", node.lineno - offset) for alias in node.names]
    return found
