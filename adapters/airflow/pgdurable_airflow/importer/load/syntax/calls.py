"""Calls: who is called, and what is known of what comes of it."""

import ast
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from pgdurable_airflow.importer.load.syntax import dags, edges, groups, known, library, operators, plain, taskflow
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.operations import holds_node
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import (
    Bound,
    Class,
    Dag,
    DagFactory,
    Decorated,
    Decorator,
    Function,
    Group,
    GroupFactory,
    Imported,
    Instance,
    Made,
    Method,
    OperatorPartial,
    Partial,
    Super,
    Task,
    TaskDecorator,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
)

# Libraries that make no tasks; a call of any other one inside a DAG may.
_HARMLESS: Final = sys.stdlib_module_names | {
    "pendulum", "yaml", "requests", "httpx", "pandas", "numpy", "boto3", "botocore", "jinja2", "dateutil", "pytz",
    "sqlalchemy", "psycopg2", "psycopg", "structlog", "dotenv", "croniter", "slack_sdk", "google", "toml", "ujson",
}  # fmt: skip


def is_harmless(origin: str | None) -> bool:
    """Say whether what made a value can have made no tasks."""
    if origin is None:
        return True
    root = origin.partition(".")[0]
    return root in _HARMLESS or root == "builtins" or (root == "airflow" and not library.looks_like_operator(origin))


def call_node(machine: Machine, node: ast.Call, scope: Scope) -> Value:
    """Evaluate a call expression."""
    from pgdurable_airflow.importer.load.syntax.expressions import evaluate, items_of

    function = evaluate(machine, node.func, scope)
    if isinstance(function, Imported) and function.path in ("builtins.globals", "builtins.super", "builtins.locals"):
        return _of_scope(machine, function.path, node, scope)
    args: list[Value] = []
    kwargs: dict[str, Value] = {}
    for argument in node.args:
        value = evaluate(machine, argument, scope)
        if isinstance(argument, ast.Starred):
            items = items_of(machine, value, argument)
            args += [items] if isinstance(items, Unknown) else items
        else:
            args.append(value)
    for keyword in node.keywords:
        value = machine.settled(evaluate(machine, keyword.value, scope))
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value, dict):
            kwargs.update({str(key): inner for key, inner in value.items()})
        else:
            kwargs["**"] = value if isinstance(value, Unknown) else machine.unknown("arguments of an object", node)
    # Python counts the line of a method's call from its name on.
    machine.line = (node.func.end_lineno or node.lineno) if isinstance(node.func, ast.Attribute) else node.lineno
    machine.reached.add((machine.file, node.lineno, node.col_offset))
    return call(machine, function, args, kwargs, node)


def _of_scope(machine: Machine, path: str, node: ast.Call, scope: Scope) -> Value:
    if path == "builtins.globals":
        return Method(scope, "globals")
    frame = machine.frames[-1] if machine.frames else None
    if (
        path == "builtins.super"
        and frame is not None
        and frame.function is not None
        and frame.function.owner is not None
    ):
        positional = frame.function.node.args.args
        owner = scope.find(positional[0].arg)[1] if positional else None
        if isinstance(owner, Instance):
            return Super(frame.function.owner, owner)
    return machine.unknown(f"what {path.rpartition('.')[2]}() gives", node)


def call(machine: Machine, function: Value, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Call a value."""
    match function:
        case Function():
            return machine.follow(function, args, kwargs, node)
        case Bound():
            return machine.follow(function.function, [function.owner, *args], kwargs, node)
        case Partial():
            return call(machine, function.function, [*function.args, *args], {**function.kwargs, **kwargs}, node)
        case Imported():
            return _imported(machine, function, args, kwargs, node)
        case Class():
            return _class(machine, function, args, kwargs, node)
        case Decorated():
            return taskflow.call(machine, function, args, kwargs, node)
        case TaskDecorator():
            return taskflow.decorate(machine, function, args, node)
        case Decorator(kind="dag"):
            return dags.decorate(machine, function.args, function.kwargs, args, node)
        case Decorator(kind="task_group"):
            return groups.decorate(machine, function.kwargs, args, node)
        case DagFactory():
            return dags.call_factory(machine, function, args, kwargs, node)
        case GroupFactory():
            return groups.call_factory(machine, function, args, kwargs, node)
        case Method():
            return _method(machine, function.owner, function.name, args, kwargs, node)
        case Unknown():
            return _unknown(machine, function.origin, function, args, kwargs, node)
    return _unknown(machine, "?", None, args, kwargs, node)


def _unknown(
    machine: Machine,
    origin: str | None,
    called: Unknown | None,
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    node: ast.AST,
) -> Value:
    """Say that nobody knows what a call gives; where it may add tasks, the DAG's shape is not certain."""
    machine.unknown_calls += 1
    given = [*args, *kwargs.values()]
    shown = origin or (called.why.what if called is not None else "something unknown")
    if "task_id" in kwargs and (called is not None or origin is not None):
        return operators.construct(machine, origin or "unknown.Operator", None, args, kwargs, node, is_guess=True)
    doubt = machine.doubt(f"what {shown} gives", node)
    touches = any(holds_node(each) or isinstance(each, Dag | Decorated | Group) for each in given)
    dag = next((each for each in given if isinstance(each, Dag)), machine.dag)
    if (machine.dag is not None and not is_harmless(origin)) or (touches and not is_harmless(origin)):
        machine.note_structure(dag, machine.doubt(f"a call of {shown}, which may add tasks or edges", node))
    elif origin is None and touches:
        machine.note_structure(dag, machine.doubt("a call of something unknown with tasks in it", node))
    return Unknown(doubt, origin)


def _imported(
    machine: Machine, function: Imported, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    path = function.path
    if path.startswith("builtins."):
        return _builtin(machine, path.removeprefix("builtins."), args, kwargs, node)
    full = library.full_name(path)
    if path == library.DAYS_AGO:
        machine.legacy[path] = "pendulum.today('UTC').add(days=-n)"
    found = known.call(machine, full, args, kwargs, node)
    if found is not NotImplemented:
        return found
    if function.root == "airflow":
        found = _airflow(machine, path, full, args, kwargs, node)
        if found is not NotImplemented:
            return found
    if library.looks_like_operator(full) or "task_id" in kwargs or library.operator(full) is not None:
        is_guess = library.operator(full) is None
        return operators.construct(machine, full, None, args, kwargs, node, is_guess=is_guess)
    return _unknown(machine, full, None, args, kwargs, node)


def _builtin(machine: Machine, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    if name == "getattr" and len(args) >= 2 and isinstance(args[1], str):
        from pgdurable_airflow.importer.load.syntax.attributes import read

        return read(machine, args[0], args[1], node)
    if name in ("open", "input", "eval", "exec", "compile", "__import__", "object", "type", "id", "vars", "dir"):
        if name in ("eval", "exec", "__import__"):
            machine.note_structure(machine.dag, machine.doubt(f"{name}()", node))
        machine.unknown_calls += 1
        return machine.unknown(f"what {name}() gives", node, f"builtins.{name}")
    if name.endswith(("Error", "Exception", "Warning")):
        return Made(f"builtins.{name}", tuple(args), dict(kwargs))
    return plain.builtin(machine, name, args, kwargs, node)


def _airflow(
    machine: Machine, path: str, full: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Call what Airflow itself defines and a graph is made of."""
    for start in ("airflow.sdk.task", "airflow.decorators.task", "airflow.sdk.definitions.decorators.task"):
        if path == start or (path.startswith(f"{start}.") and path.count(".") == start.count(".") + 1):
            return taskflow.decorator(machine, path[len(start) + 1 :] or "python", args, kwargs, node)
    leaf = full.rpartition(".")[2]
    match full:
        case "airflow.sdk.definitions.dag.DAG":
            return dags.construct(machine, args, kwargs, node)
        case "airflow.sdk.definitions.dag.dag":
            return dags.decorator(machine, args, kwargs, node)
        case "airflow.sdk.definitions.taskgroup.TaskGroup":
            return groups.construct(machine, args, kwargs, node)
        case "airflow.sdk.definitions.decorators.task_group.task_group":
            return groups.decorator(machine, args, kwargs, node)
        case "airflow.sdk.definitions.edges.Label" | "airflow.sdk.definitions.edges.EdgeModifier":
            return edges.label(args, kwargs)
        case "airflow.sdk.bases.operator.chain":
            return edges.chain(machine, args, node)
        case "airflow.sdk.bases.operator.chain_linear":
            return edges.chain_linear(machine, args, node)
        case "airflow.sdk.bases.operator.cross_downstream":
            return edges.cross_downstream(machine, args, kwargs, node)
        case "airflow.sdk.definitions.xcom_arg.XComArg" if args and isinstance(args[0], Task):
            key = kwargs.get("key", args[1] if len(args) > 1 else "return_value")
            return XCom(args[0], str(key))
        case "airflow.sdk.definitions.asset.decorators.asset":
            machine.note_structure(None, machine.doubt("@asset, which makes a DAG of its own", node))
            return machine.unknown("what @asset makes", node, "airflow.sdk.asset")
    if leaf in ("setup_task", "teardown_task"):
        return taskflow.setup_or_teardown(machine, leaf.removesuffix("_task"), args, kwargs, node)
    return NotImplemented


def _class(machine: Machine, cls: Class, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    if cls.library is not None:
        return operators.construct(machine, cls.library, cls, args, kwargs, node)
    instance = Instance(cls)
    init = cls.find("__init__")
    if isinstance(init, Function):
        machine.follow(init, [instance, *args], kwargs, node)
        return instance
    fields = [
        each.target.id
        for each in cls.node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]
    if cls.node.decorator_list and cls.is_understood and len(cls.ancestors) == 1:
        given = {**dict(zip(fields, args, strict=False)), **kwargs}
        for name in fields:
            instance.attributes[name] = given.get(name, cls.names.get(name, machine.unknown(f"the field {name}", node)))
        return instance
    if not cls.is_understood:
        return _unknown(machine, f"{cls.module.name}.{cls.name}", None, args, kwargs, node)
    return instance


def _method(
    machine: Machine, owner: Value, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    match owner:
        case Super() if name == "__init__":
            return operators.super_init(machine, owner.owner, kwargs, node)
        case Class() if owner.library is not None and name == "partial":
            return operators.partial(machine, owner.library, owner, kwargs, node)
        case Imported() if name == "partial":
            return operators.partial(machine, library.full_name(owner.path), None, kwargs, node)
        case OperatorPartial() if name in ("expand", "expand_kwargs"):
            return operators.expand(machine, owner, name, args, kwargs, node)
        case Decorated():
            return taskflow.method(machine, owner, name, args, kwargs, node)
        case GroupFactory():
            return groups.method(machine, owner, name, args, kwargs, node)
        case Task() | XCom() | Group() | XComMap() | XComOther() if name in ("set_upstream", "set_downstream"):
            return edges.set_relatives(machine, owner, name, args, kwargs, node)
        case XCom() | XComMap() | XComOther() if name in ("map", "zip", "concat"):
            return taskflow.of_result(owner, name, args)
        case Task() | XCom() if name in ("as_setup", "as_teardown"):
            return taskflow.as_setup(machine, owner, name, kwargs, node)
        case Dag() if name == "get_task" and args and args[0] in owner.tasks:
            return owner.tasks[str(args[0])]
        case Dag() if name in ("add_task", "add_tasks"):
            machine.note_structure(owner, machine.doubt(f"dag.{name}()", node))
            return None
        case Dag() if name.startswith("task"):
            return taskflow.decorator(machine, "python", args, kwargs, node)
        case Dag():
            return machine.unknown(f"what dag.{name}() gives", node)
        case Task() | XCom() | Group() | Instance() | Scope() | Made():
            return machine.unknown(f"what .{name}() gives", node)
    return plain.method(machine, owner, name, args, kwargs, node)
