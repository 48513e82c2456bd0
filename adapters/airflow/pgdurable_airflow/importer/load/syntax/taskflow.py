"""TaskFlow: functions under @task, their calls, .override, .partial and .expand, setup and teardown."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pgdurable_airflow.importer.load.syntax import groups, library, operators
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.values import (
    Dag,
    Decorated,
    Function,
    Group,
    Imported,
    Method,
    Task,
    TaskDecorator,
    Unknown,
    Value,
    XCom,
    XComMap,
    XComOther,
)

_MAPPINGS: Final = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "TypedDict"})
_DOCS: Final = ("doc", "doc_json", "doc_md", "doc_rst", "doc_yaml")


def decorator(machine: Machine, kind: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow `@task`, `@task(…)` and `@task.something`."""
    if kind in ("run_if", "skip_if"):
        return TaskDecorator(kind, dict(kwargs))
    waiting = TaskDecorator(kind, dict(kwargs))
    return decorate(machine, waiting, args, node) if args else waiting


def decorate(machine: Machine, waiting: TaskDecorator, args: Sequence[Value], node: ast.AST) -> Value:
    """Make a task function of a function."""
    function = args[0] if args else None
    if waiting.kind in ("run_if", "skip_if") and isinstance(function, Decorated):
        function.kwargs["pre_execute"] = machine.unknown(f"@task.{waiting.kind}", node)
        return function
    if waiting.kind in ("setup", "teardown") and isinstance(function, Function | Decorated):
        made = function if isinstance(function, Decorated) else _make(machine, "python", function, {})
        made.setup = waiting.kind
        made.kwargs.update(waiting.kwargs)
        return made
    if not isinstance(function, Function):
        return machine.unknown(f"what @task.{waiting.kind} decorates", node)
    return _make(machine, waiting.kind, function, dict(waiting.kwargs))


def _make(machine: Machine, kind: str, function: Function, kwargs: dict[str, Value]) -> Decorated:
    operator = library.library()["decorators"].get(kind, f"airflow.unknown.@task.{kind}")
    outputs = kwargs.pop("multiple_outputs", None)
    if outputs is None:
        outputs = _returns_mapping(function)
    kwargs.setdefault("task_id", function.name)
    return Decorated(function, operator, kwargs, outputs)


def _returns_mapping(function: Function) -> Value:
    """Infer multiple_outputs from the annotation of what is returned."""
    returns = None if isinstance(function.node, ast.Lambda) else function.node.returns
    if isinstance(returns, ast.Constant) and isinstance(returns.value, str):
        try:
            returns = ast.parse(returns.value, mode="eval").body
        except SyntaxError:
            return False
    if returns is None or isinstance(returns, ast.Constant):
        return False
    name = ast.unparse(returns.value if isinstance(returns, ast.Subscript) else returns)
    return name.rpartition(".")[2] in _MAPPINGS


def setup_or_teardown(
    machine: Machine, kind: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Follow @setup and @teardown."""
    waiting = TaskDecorator(kind, dict(kwargs))
    return decorate(machine, waiting, args, node) if args else waiting


def _unique(task_id: str, dag: Dag | None, group: Group | None) -> str:
    """Count up a task id that is taken, as Airflow does for task functions called several times."""
    whole = group.child_id(task_id) if group is not None else task_id
    if dag is None or whole not in dag.tasks:
        return task_id
    base = re.split(r"__\d+$", whole)[0]
    numbers = [int(found[1]) for each in dag.tasks if (found := re.fullmatch(rf"{re.escape(base)}__(\d+)", each))]
    core = re.split(r"__\d+$", task_id)[0]
    return f"{core}__{max(numbers, default=0) + 1}"


def call(
    machine: Machine, decorated: Decorated, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Call a task function: a task, with its arguments as op_args and op_kwargs."""
    task = _task(machine, decorated, node)
    own = dict(decorated.kwargs)
    fail = own.pop("on_failure_fail_dagrun", False)
    dag = own.get("dag") if isinstance(own.get("dag"), Dag) else machine.dag
    group = own.get("task_group") if isinstance(own.get("task_group"), Group) else None
    found_dag = dag if isinstance(dag, Dag) else None
    found_group = group if isinstance(group, Group) else groups.current(machine, found_dag)
    if isinstance(own.get("task_id"), str):
        own["task_id"] = _unique(str(own["task_id"]), found_dag, found_group)
    if decorated.setup == "teardown":
        own["trigger_rule"] = "all_done_setup_success"
    op_kwargs = {**_mapping(own.pop("op_kwargs", None)), **kwargs}
    if found_dag is not None:
        defaults = {**found_dag.default_args, **(found_group.default_args if found_group is not None else {})}
        for name in _parameters(decorated.function):
            if name in defaults and name not in op_kwargs:
                op_kwargs[name] = defaults[name]
    unknown = op_kwargs.pop("**", None)
    if isinstance(unknown, Unknown):
        task.doubts.append(unknown.why)
    own.update(
        python_callable=decorated.function, op_args=tuple(args), op_kwargs=op_kwargs,
        multiple_outputs=decorated.multiple_outputs,
    )  # fmt: skip
    operators.initialise(machine, task, own, node)
    if isinstance(decorated.kwargs.get("task_id"), str):
        task.given["task_id"] = decorated.kwargs["task_id"]
    if decorated.setup is not None:
        task.fields[f"is_{decorated.setup}"] = True
    if fail is not False:
        task.fields["on_failure_fail_dagrun"] = fail
    if decorated.function.docstring and not any(own.get(name) for name in _DOCS):
        task.fields["doc_md"] = decorated.function.docstring
    operators.connect_arguments(machine, task, node)
    return XCom(task)


def _task(machine: Machine, decorated: Decorated, node: ast.AST) -> Task:
    unknown = library.operator(decorated.operator) is None
    task = Task(None, decorated.operator, {}, machine.file, machine.line, is_unknown_class=unknown)
    task.function = decorated.function
    key = (machine.file, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
    machine.made[key] = machine.made.get(key, 0) + 1
    if machine.maybe:
        task.doubts.append(machine.maybe[-1])
    return task


def _mapping(value: Value) -> dict[str, Value]:
    return {str(key): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def _parameters(function: Function) -> list[str]:
    arguments = function.node.args
    return [each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]


def method(
    machine: Machine, decorated: Decorated, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    """Follow .override, .partial, .expand and .expand_kwargs of a task function."""
    match name:
        case "override":
            own = {**decorated.kwargs, **kwargs}
            outputs = own.pop("multiple_outputs", decorated.multiple_outputs)
            return Decorated(decorated.function, decorated.operator, own, outputs, decorated.setup)
        case "partial":
            own = {**decorated.kwargs, "op_kwargs": {**kwargs, **_mapping(decorated.kwargs.get("op_kwargs"))}}
            return Decorated(decorated.function, decorated.operator, own, decorated.multiple_outputs, decorated.setup)
        case "expand" | "expand_kwargs":
            return _expand(machine, decorated, name, args, kwargs, node)
    return machine.unknown(f"what .{name}() gives", node)


def _expand(
    machine: Machine, decorated: Decorated, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], node: ast.AST
) -> Value:
    task = _task(machine, decorated, node)
    own = dict(decorated.kwargs)
    dag = own.pop("dag", None) or machine.dag
    found_dag = dag if isinstance(dag, Dag) else None
    group = own.pop("task_group", None)
    found_group = group if isinstance(group, Group) else groups.current(machine, found_dag)
    defaults = {
        **(found_dag.default_args if found_dag is not None else {}),
        **(found_group.default_args if found_group is not None else {}),
        **_mapping(own.pop("default_args", None)),
    }
    params = own.pop("params", None)
    base = set(library.library()["classes"][library.BASE]["parameters"])
    base -= {"default_args", "do_xcom_push", "multiple_outputs", "params", "task_concurrency", "task_id"}
    given: dict[str, Value] = {
        "is_setup": decorated.setup == "setup", "is_teardown": decorated.setup == "teardown",
        "on_failure_fail_dagrun": False,
    }  # fmt: skip
    given.update({key: value for key, value in defaults.items() if key in base})
    task_id = own.pop("task_id", None)
    given.update(own)
    for key, value in (("executor_config", {}), ("op_args", []), ("op_kwargs", {})):
        given.setdefault(key, value)
    if decorated.setup == "teardown":
        given["trigger_rule"] = "all_done_setup_success"
    if isinstance(task_id, str):
        task_id = _unique(task_id, found_dag, found_group)
    operators.set_expansion(task, name, args, kwargs)
    unknown = kwargs.get("**")
    if isinstance(unknown, Unknown):
        task.doubts.append(unknown.why)
    task.fields["multiple_outputs"] = decorated.multiple_outputs
    operators.finish_mapped(machine, task, given, defaults, set(), found_dag, found_group, task_id, node)
    task.params = {**(found_dag.params if found_dag is not None else {}), **_mapping(params)}
    return XCom(task)


def of_result(owner: Value, name: str, args: Sequence[Value]) -> Value:
    """Follow .map, .zip and .concat of a result."""
    if name != "map":
        return XComOther(f"{name.title()}XComArg", (owner, *args))
    functions = tuple(each for each in args if isinstance(each, Function | Imported | Method | Decorated | Unknown))
    if isinstance(owner, XComMap):
        return XComMap(owner.arg, (*owner.functions, *functions))
    return XComMap(owner, functions)


def as_setup(machine: Machine, owner: Value, name: str, kwargs: Mapping[str, Value], node: ast.AST) -> Value:
    """Follow .as_setup() and .as_teardown()."""
    from pgdurable_airflow.importer.load.syntax.edges import as_list, upstream_of

    task = owner.task if isinstance(owner, XCom) else owner
    if not isinstance(task, Task):
        return owner
    task.fields[name.removeprefix("as_").join(("is_", ""))] = True
    if name == "as_teardown":
        task.fields["trigger_rule"] = "all_done_setup_success"
        if kwargs.get("on_failure_fail_dagrun") is not None:
            task.fields["on_failure_fail_dagrun"] = kwargs["on_failure_fail_dagrun"]
        setups = as_list(machine, kwargs["setups"], node) if kwargs.get("setups") is not None else []
        for each in setups or []:
            for setup in [each.task] if isinstance(each, XCom) else [each]:
                if isinstance(setup, Task):
                    setup.fields["is_setup"] = True
        upstream_of(machine, task, setups or [], node)
    return owner
