"""PythonOperator and @task: the original callable, by module and hash, with its arguments as JSON."""

import ast
from typing import Final

from pgdurable_airflow.importer.facts import (
    CallableFacts,
    Fact,
    OpaqueError,
    Parameter,
    elements,
    is_absent,
    is_row,
    items,
    plain,
    tag,
)
from pgdurable_airflow.importer.results import runs_sql
from pgdurable_airflow.importer.rules.base import refuse_binds
from pgdurable_airflow.importer.rules.mapping import expanded_argument, function_node, refuse_mapping
from pgdurable_airflow.importer.rules.slicing import slice_problem
from pgdurable_airflow.importer.rules.sql import refuse_template
from pgdurable_airflow.importer.task import Draft, Refusal, Task
from pgdurable_airflow.importer.templates import UntranslatableError, render_texts
from pgdurable_core.graph.model import JsonValue, Python

_TEXT_CONTEXT: Final = frozenset({"ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "run_id"})
# task-sdk, airflow/sdk/definitions/context.py, and Airflow 2's own names.
_CONTEXT: Final = _TEXT_CONTEXT | {
    "conn", "dag", "dag_run", "data_interval_end", "data_interval_start", "exception", "execution_date",
    "expanded_ti_count", "inlet_events", "inlets", "logical_date", "macros", "map_index_template", "next_ds",
    "next_execution_date", "outlet_events", "outlets", "params", "partition_key", "prev_data_interval_end_success",
    "prev_data_interval_start_success", "prev_ds", "prev_end_date_success", "prev_start_date_success", "reason",
    "start_date", "task", "task_instance", "task_instance_key_str", "task_reschedule_count", "templates_dict",
    "test_mode", "ti", "tomorrow_ds", "triggering_asset_events", "triggering_dataset_events", "try_number", "var",
    "yesterday_ds",
}  # fmt: skip
_HARMLESS: Final = frozenset({"AirflowSkipException", "AirflowFailException", "AirflowException"})
_REACHES_OUT: Final = frozenset({"requests", "httpx", "urllib", "urllib3", "aiohttp", "smtplib", "boto3", "http"})


def call(task: Task) -> Draft:
    """Turn a Python task into a call on a worker."""
    task.ignore(
        "python_callable", "show_return_value_in_logs", "multiple_outputs", "templates_exts", "kwargs_to_upstream"
    )
    facts = task.facts.callable
    if facts is None:
        raise task.refuse(
            "AF133",
            "callable cannot be read",
            "The callable is an object that cannot be named.",
            "Use a function at the top level of a module.",
        )
    _refuse_airflow(task, facts)
    name, sliced = callable_name(task, facts)
    each, arguments = _arguments(task, facts)
    texts, shape = _texts_of(arguments)
    try:
        rendered = render_texts(texts, task.scope())
    except UntranslatableError as error:
        raise refuse_template(task, error) from error
    refuse_binds(task, rendered.bind)
    if rendered.pulled:
        raise refuse_template(task, UntranslatableError("xcom_pull in an argument; pass the task's output instead"))
    filled = iter(rendered.texts)
    args = {key: _put_back(value, filled) for key, value in shape.items()}
    _results(task, facts)
    comments = []
    if any(finding.code == "AF131" for finding in task.findings):
        comments.append(
            "REVIEW AF131: numbers of SQL arrive as exact decimals (186375.00); Airflow hands over floats (186375.0)."
        )
        if {use.module.partition(".")[0] for use in facts.uses} & _REACHES_OUT:
            comments.append("At least once: pass the step's idempotency key to the other side if it takes one.")
    return Draft(
        run=Python(name, args),
        home="worker",
        becomes="Python worker",
        each=each,
        comments=tuple(comments),
        sliced=sliced,
        is_python=True,
    )


def callable_name(task: Task, facts: CallableFacts) -> tuple[str, CallableFacts | None]:
    """Say under which `module:name` a worker finds the callable, or that it is copied out; refuse what has neither."""
    around = task.around
    inside = facts.file is not None and facts.file.is_relative_to(around.root)
    module = around.module_name(facts.file) if inside and facts.file is not None else facts.module
    simple = "<" not in facts.qualname and not facts.is_bound and facts.is_reachable
    problem = slice_problem(facts)
    # A worker has Airflow 3 or none, and loads the whole file for the sake of one function.
    needs_old = facts.file == around.dag.file and (around.is_old or around.airflow_major < 3)
    is_named = module is not None and simple
    if is_named and problem is not None and needs_old and around.is_old:
        raise task.refuse(
            "AF133",
            f"{facts.name} stands in a file that needs Airflow 2",
            f"A worker loads `{module}` to call `{facts.qualname}`, and Airflow 3 cannot load it; the function cannot "
            f"be copied out: {problem}.",
            "Move the function to a module that imports nothing of Airflow.",
            line=facts.def_line,
        )
    if is_named and not ((around.slice_code or needs_old) and problem is None):
        return f"{module}:{facts.qualname}", None
    if problem is None and inside:
        why = "no module:name leads to it"
        if is_named:
            why = "asked for with --slice-code" if around.slice_code else "stands in a file that needs Airflow 2"
        task.find(
            "AF134",
            "callable copied to a file of its own",
            f"`{facts.name}` {why}.",
            "It needs nothing from around it and was copied out.",
            line=facts.def_line,
        )
        return f"{slice_module(around.dag.dag_id)}:{facts.name}", facts
    raise task.refuse(
        "AF133",
        f"{facts.name} cannot be named as module:name",
        f"`{facts.qualname}` is found by no worker, and cannot be copied out: {problem or 'it is not in a file'}.",
        "Move the function to the top level of a module.",
        line=facts.def_line,
    )


def slice_module(dag_id: str) -> str:
    """Name the module that holds what was copied out of a DAG's file."""
    return "tasks." + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in dag_id)


def _refuse_airflow(task: Task, facts: CallableFacts) -> None:
    """Refuse callables that need Airflow around them: Variables, Connections, hooks, the context."""
    for use in facts.uses:
        last = use.module.rpartition(".")[2]
        if use.module.partition(".")[0] != "airflow" or use.name in _HARMLESS or last in _HARMLESS:
            continue
        if use.kind == "import" and last == "exceptions":
            continue
        what = use.module if use.kind == "import" else f"{use.name} ({use.module})"
        raise _needs_airflow(task, f"uses {what}", facts)
    for parameter in facts.parameters:
        if parameter.kind == "VAR_KEYWORD" and _looked_up(facts, parameter.name) is None:
            raise _needs_airflow(task, f"looks into the context (**{parameter.name})", facts)


def _looked_up(facts: CallableFacts, name: str) -> tuple[str, ...] | None:
    """List what a function looks up in its `**name`, as `name["key"]` or `name.get("key")`; None when it does more."""
    node = function_node(facts)
    if node is None:
        return None
    keys: list[str] = []
    for inner in ast.walk(node):
        match inner:
            case ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                keys += [key] if owner == name else []
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=owner), attr="get"), args=[ast.Constant(value=str(key)), *_]
            ):
                keys += [key] if owner == name else []
    named = sum(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(node))
    return tuple(dict.fromkeys(keys)) if named == len(keys) else None


def _needs_airflow(task: Task, what: str, facts: CallableFacts) -> Refusal:
    refusal = task.refuse(
        "AF130",
        f"needs Airflow: {what}",
        f"`{facts.name}` {what}.",
        "Pass what it needs as arguments (ds, params, another task's result), or use SQL for the part that reads.",
        line=facts.def_line,
    )
    assert isinstance(refusal, Refusal)
    return refusal


def _arguments(task: Task, facts: CallableFacts) -> tuple[str | None, dict[str, Fact]]:
    """Give every parameter its argument: positional, by name, mapped, or from the context."""
    given: dict[str, Fact] = {}
    positional = [each for each in facts.parameters if each.kind in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")]
    values = elements(task.take("op_args"))
    if len(values) > len(positional) or any(each.kind == "POSITIONAL_ONLY" for each in positional):
        raise task.refuse(
            "AF135",
            "positional arguments without a name",
            f"`{facts.name}` takes arguments that have no name.",
            "Pass them by name.",
            line=facts.def_line,
        )
    for parameter, value in zip(positional, values, strict=False):
        given[parameter.name] = value
    given.update(items(task.take("op_kwargs")))
    each = _mapped(task, given)
    templates = task.take("templates_dict")
    names = {parameter.name for parameter in facts.parameters}
    takes_any = any(parameter.kind == "VAR_KEYWORD" for parameter in facts.parameters)
    unknown = sorted(set(given) - names)
    if unknown and not takes_any:
        raise task.refuse(
            "AF135",
            f"no parameter {unknown[0]}",
            f"`{facts.name}` has no parameter {unknown[0]}.",
            "Mend the call.",
            line=facts.def_line,
        )
    for parameter in facts.parameters:
        if parameter.kind.startswith("VAR_") or (parameter.name in given and not is_absent(given[parameter.name])):
            continue
        if parameter.name in _CONTEXT:
            given[parameter.name] = _from_context(task, facts, parameter.name, templates)
    for parameter in facts.parameters:
        if parameter.kind == "VAR_KEYWORD":
            given.update(_context_of(task, facts, parameter, given, templates))
    return each, given


def _context_of(
    task: Task, facts: CallableFacts, parameter: Parameter, given: dict[str, Fact], templates: Fact
) -> dict[str, Fact]:
    """Give `**kwargs` what is looked up in it. What has a parameter of its own is not in there, in Airflow as here."""
    found: dict[str, Fact] = {}
    own = {each.name for each in facts.parameters if not each.kind.startswith("VAR_")}
    for name in _looked_up(facts, parameter.name) or ():
        if name not in own and name not in given:
            found[name] = _from_context(task, facts, name, templates)
    if found:
        task.find(
            "AF140",
            f"**{parameter.name} holds what is looked up in it",
            f"`{facts.name}` takes the context as `**{parameter.name}` and looks up {', '.join(found)}.",
            "It gets these, and nothing else of the context.",
            line=facts.def_line,
        )
    return found


def _from_context(task: Task, facts: CallableFacts, name: str, templates: Fact) -> Fact:
    if name in _TEXT_CONTEXT:
        return {"$": "context", "text": f"{{{name}}}"}
    if name == "params":
        if task.around.dag.params:
            task.find(
                "AF138",
                "params as they are declared",
                f"`{facts.name}` takes all params.",
                "It gets an object of the declared ones.",
            )
        declared = sorted(task.around.dag.params)
        return {"$": "json", "value": {declared_name: {"param": declared_name} for declared_name in declared}}
    if name == "templates_dict":
        return templates
    raise _needs_airflow(task, f"takes `{name}` of the context", facts)


def _mapped(task: Task, given: dict[str, Fact]) -> str | None:
    found = expanded_argument(task)
    if found is None:
        return None
    name, value = found
    if name in ("op_args", "op_kwargs", "templates_dict"):
        raise refuse_mapping(task, name)
    if tag(value) != "xcom" or not is_row(value) or value.get("key") != "return_value":
        raise refuse_mapping(task, "something other than the result of one task")
    upstream = task.around.dag.task(str(value["task"]))
    if upstream is None or upstream.is_mapped:
        raise refuse_mapping(task, "the results of a mapped task")
    if runs_sql(upstream):
        task.find(
            "AF139",
            "rows arrive as objects",
            f"`{name}` is a row of {upstream.task_id}.",
            "Airflow hands over a list of values; here it is an object of columns.",
            "Read columns by name in the callable.",
        )
    given[name] = {"$": "json", "value": {"item": True}}
    return upstream.task_id


class _Text:
    """Marks the place of a text that may hold a template."""


def _texts_of(arguments: dict[str, Fact]) -> tuple[list[str], dict[str, Fact]]:
    texts: list[str] = []

    def collect(value: Fact) -> None:
        if isinstance(value, str):
            texts.append(value)
        for inner in elements(value):
            collect(inner)
        if tag(value) == "dict":
            for inner in items(value).values():
                collect(inner)

    for value in arguments.values():
        collect(value)
    return texts, arguments


def _put_back(value: Fact, filled: "object") -> JsonValue:
    """Write an argument as JSON, translated texts in the places of the original ones."""
    match tag(value):
        case None if isinstance(value, str):
            return str(next(filled))  # type: ignore[call-overload]
        case None if isinstance(value, list):
            return [_put_back(inner, filled) for inner in value]
        case None:
            return value if isinstance(value, bool | int | float) or value is None else None
        case "tuple":
            return [_put_back(inner, filled) for inner in elements(value)]
        case "dict":
            return {key: _put_back(inner, filled) for key, inner in items(value).items()}
        case "xcom" if is_row(value):
            return {"xcom": str(value["task"])}
        case "context" if is_row(value):
            return str(value["text"])
        case "json" if is_row(value):
            return value["value"]
        case _:
            return None


def _results(task: Task, facts: CallableFacts) -> None:
    """Look at what other tasks hand over, and at values that have no JSON form."""
    for name in ("op_args", "op_kwargs"):
        value = task.facts.given.get(name) if task.facts.is_mapped else task.facts.attributes.get(name)
        for inner in elements(value) + list(items(value).values()):
            _check(task, facts, inner)


def _check(task: Task, facts: CallableFacts, value: Fact) -> None:
    match tag(value):
        case "xcom" if is_row(value):
            if value.get("key") != "return_value":
                raise task.refuse(
                    "AF137",
                    f"XCom key {value.get('key')}",
                    f"The task uses key {value.get('key')} of {value['task']}.",
                    "Return one value, and pick from it.",
                )
            upstream = task.around.dag.task(str(value["task"]))
            if upstream is not None and runs_sql(upstream):
                task.find(
                    "AF131",
                    "Airflow sends 186375.0, we send 186375.00",
                    f"Numbers of `{upstream.task_id}` reach Python as exact decimals (`186375.00`); Airflow gives "
                    "floats (`186375.0`).",
                    "Arithmetic agrees; text made of them differs.",
                    "Keep ours, or turn them into float in the callable. What leaves by HTTP leaves at least once: "
                    "is a repeat harmless?",
                    line=facts.def_line,
                )
            else:
                task.find(
                    "AF132",
                    "result travels as JSON",
                    f"The result of `{value['task']}` reaches Python as JSON.",
                    "Tuples and sets arrive as lists, dates as text.",
                )
        case "dict":
            inner = items(value)
            if len(inner) == 1 and next(iter(inner)) in ("xcom", "param", "item"):
                raise task.refuse(
                    "AF135",
                    "an argument looks like a reference",
                    f"An argument is an object with the one "
                    f"key {next(iter(inner))!r}, which means something else in a step.",
                    "Rename the key.",
                )
            for each in inner.values():
                _check(task, facts, each)
        case "tuple":
            task.find("AF136", "tuple becomes a list", "An argument is a tuple.", "It arrives as a list.")
            for each in elements(value):
                _check(task, facts, each)
        case None if isinstance(value, list):
            for each in value:
                _check(task, facts, each)
        case None | "notset":
            return
        case _:
            try:
                what = f"a {type(plain(value)).__name__}"
            except OpaqueError as error:
                what = str(error)
            raise task.refuse(
                "AF135",
                f"an argument is {what}",
                f"An argument of `{facts.name}` is {what}.",
                "Pass text, numbers, lists and objects.",
            )
