"""Functions and classes of the user's files: how they are made, and how arguments reach their parameters."""

import ast
from collections.abc import Mapping, Sequence

from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import Class, Function, Imported, Unknown, Value

_TRANSPARENT = {
    "functools.lru_cache", "functools.cache", "functools.wraps", "contextlib.contextmanager",
    "airflow.utils.decorators.apply_defaults", "builtins.staticmethod", "typing.no_type_check", "typing.overload",
}  # fmt: skip


def make_function(
    machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
) -> Function:
    """Make a function, its defaults evaluated here and now as Python does."""
    from pgdurable_airflow.importer.load.syntax.expressions import evaluate

    defaults = [evaluate(machine, each, scope) for each in node.args.defaults]
    named = {
        argument.arg: evaluate(machine, each, scope)
        for argument, each in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if each is not None
    }
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    owner = scope.cls if scope.is_class else None
    return Function(node, scope.module, scope, scope.inner(name), defaults, named, owner)


def define_function(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
    """Follow a def and its decorators, innermost first."""
    from pgdurable_airflow.importer.load.syntax.expressions import evaluate

    decorators = [(each, evaluate(machine, each, scope)) for each in node.decorator_list]
    value: Value = make_function(machine, node, scope)
    for decorator, found in reversed(decorators):
        value = _decorated(machine, found, value, decorator)
    scope.bind(node.name, value)


def _decorated(machine: Machine, decorator: Value, value: Value, node: ast.expr) -> Value:
    from pgdurable_airflow.importer.load.syntax import calls

    path = decorator.path if isinstance(decorator, Imported) else None
    if path in ("builtins.property", "builtins.classmethod", "functools.cached_property") and isinstance(
        value, Function
    ):
        value.is_plain = False
        return value
    called = node.func if isinstance(node, ast.Call) else node
    if path in _TRANSPARENT or ast.unparse(called).rpartition(".")[2] in ("lru_cache", "wraps", "cache"):
        return value
    machine.line = node.lineno
    return calls.call(machine, decorator, [value], {}, node)


def define_class(machine: Machine, node: ast.ClassDef, scope: Scope) -> None:
    """Follow a class statement: its body, its bases, and which of Airflow's classes it descends from."""
    from pgdurable_airflow.importer.load.syntax.expressions import evaluate

    bases = [evaluate(machine, each, scope) for each in node.bases]
    made = Class(node, scope.module, scope.inner(node.name), {}, bases, [], None, True)
    ancestors = [made]
    for base in bases:
        match base:
            case Class():
                ancestors += [each for each in base.ancestors if each not in ancestors]
                made.library = made.library or base.library
                made.is_understood = made.is_understood and base.is_understood
            case Imported(path=path):
                full = library.full_name(path)
                if library.operator(full) is not None or library.looks_like_operator(full):
                    made.library = made.library or full
                elif full not in ("builtins.object", "abc.ABC"):
                    made.is_understood = False
            case _:
                made.is_understood = False
    made.is_understood = made.is_understood and not node.keywords
    made.ancestors = ancestors
    inner = Scope(scope.module, made.names, scope, made.qualname, is_class=True, cls=made)
    machine.run(node.body, inner)
    value: Value = made
    for decorator in reversed(node.decorator_list):
        found = evaluate(machine, decorator, scope)
        path = found.path if isinstance(found, Imported) else ""
        if path != "dataclasses.dataclass" and "dataclass" not in ast.unparse(decorator):
            made.is_understood = False
    scope.bind(node.name, value)


def bind_arguments(
    machine: Machine, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> dict[str, Value]:
    """Give every parameter its argument, as a call does; refuses what Python would refuse."""
    parameters = function.node.args
    positional = [*parameters.posonlyargs, *parameters.args]
    names: dict[str, Value] = {}
    rest = dict(kwargs)
    for parameter, value in zip(positional, args, strict=False):
        names[parameter.arg] = value
    if len(args) > len(positional):
        if parameters.vararg is None:
            raise machine.raises("TypeError", f"{function.name}() takes {len(positional)} positional arguments", node)
        names[parameters.vararg.arg] = tuple(args[len(positional) :])
    elif parameters.vararg is not None:
        names[parameters.vararg.arg] = ()
    with_default = positional[len(positional) - len(function.defaults) :]
    defaults = {parameter.arg: value for parameter, value in zip(with_default, function.defaults, strict=True)}
    defaults.update(function.keyword_defaults)
    unknown = rest.pop("**", None)
    for parameter in [*positional, *parameters.kwonlyargs]:
        name = parameter.arg
        if name in rest and name not in names:
            names[name] = rest.pop(name)
        elif name not in names:
            if isinstance(unknown, Unknown):
                names[name] = unknown
            elif name in defaults:
                names[name] = defaults[name]
            else:
                raise machine.raises("TypeError", f"{function.name}() missing argument: '{name}'", node)
    if parameters.kwarg is not None:
        names[parameters.kwarg.arg] = rest if not isinstance(unknown, Unknown) else unknown
    elif rest:
        raise machine.raises("TypeError", f"{function.name}() got an unexpected argument '{next(iter(rest))}'", node)
    return names
