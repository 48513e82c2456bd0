"""DAGs and tasks as facts, in the child's words (`dag_facts` and `task_facts` of load/child.py)."""

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, cast

from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.load.child import DAG_FIELDS, EXECUTION, OPERATOR_ATTRIBUTES, TASK_FIELDS
from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.branching import branch_table
from pgdurable_airflow.importer.load.syntax.dags import to_utc
from pgdurable_airflow.importer.load.syntax.encoding import Encoder, doubt_fact, unknown_fact, zone_name
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.operators import as_param, template_fields
from pgdurable_airflow.importer.load.syntax.values import (
    Class,
    Dag,
    Decorated,
    Doubt,
    Function,
    Group,
    Made,
    Task,
    Unknown,
    Value,
)

Row = dict[str, Fact]
_PRESETS: Final = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *", "@yearly": "0 0 1 1 *",
}  # fmt: skip
_DEFAULTS: Final[dict[str, Fact]] = {
    "render_template_as_native_obj": False, "fail_fast": False, "max_consecutive_failed_dag_runs": 0,
}  # fmt: skip
_DISPLAY: Final = frozenset(
    {"ui_color", "ui_fgcolor", "custom_operator_name", "template_fields_renderers", "operator_extra_links"}
)


def dag_facts(machine: Machine, dag: Dag) -> Row:
    """Describe a DAG."""
    encode = Encoder(machine)
    machine.file, machine.line = dag.file, dag.line
    given, config = dag.given, machine.world.config
    fields: Row = {}
    for name in DAG_FIELDS:
        value = given.get(name)
        if name == "doc_md":
            value = _doc(machine, dag.doc_md)
        fields[name] = encode(value) if value is not None or name not in _DEFAULTS else _DEFAULTS[name]
    for name, setting in (
        ("max_active_runs", "max_active_runs_per_dag"),
        ("max_active_tasks", "max_active_tasks_per_dag"),
    ):
        if given.get(name) is None:
            fields[name] = int(str(config[setting]))
    if given.get("catchup") is None:
        fields["catchup"] = bool(config["catchup_by_default"])
    fields["end_date"] = encode(to_utc(given.get("end_date"), cast("tzinfo", config["tz"])))
    owners = sorted({str(task.fields.get("owner", "airflow")) for task in dag.tasks.values()})
    fields["owner"] = ", ".join(owners)
    zone = dag.zone
    doubts = [*dag.doubts, *(doubt for doubt in machine.doubts if doubt not in dag.doubts)]
    searchpath = given.get("template_searchpath")
    paths = [searchpath] if isinstance(searchpath, str | Path) else searchpath
    if isinstance(paths, Unknown):
        doubts.append(paths.why)
    listed = [str(each) for each in paths if not isinstance(each, Unknown)] if isinstance(paths, list | tuple) else []
    folders = [str(Path(dag.file).parent), *listed]
    names = dag.said
    tags = given.get("tags") or []
    return {
        "dag_id": dag.dag_id if isinstance(dag.dag_id, str) else f"unknown_dag_{dag.line}",
        "file": machine.file if not dag.file else str(Path(dag.file).resolve()),
        "line": dag.line,
        "given": cast("Fact", names),
        "fields": fields,
        "timezone": (zone_name(cast("tzinfo", zone)) or str(zone)) if not isinstance(zone, Unknown) else "UTC",
        "start_date": encode(dag.start_date),
        "timetable": timetable(machine, given.get("schedule"), zone),
        "default_args": encode(dag.default_args),
        "params": _params(encode, dag.params),
        "tags": cast("Fact", sorted(str(tag) for tag in tags) if isinstance(tags, list | tuple | set) else []),
        "searchpath": cast("Fact", folders),
        "callbacks": {name: callbacks(encode, given.get(f"on_{name}_callback")) for name in ("failure", "success")},
        "macros": _keys(given.get("user_defined_macros")),
        "filters": _keys(given.get("user_defined_filters")),
        "groups": cast("Fact", _groups(encode, dag.root)),
        "undefined": "StrictUndefined",
        "runs": None,
        "tasks": [task_facts(machine, dag, task, folders) for task in dag.tasks.values()],
        "doubts": [doubt_fact(doubt) for doubt in doubts],
    }


def _doc(machine: Machine, value: Value) -> Value:
    """Read documentation that stands in a file of its own."""
    if not (isinstance(value, str) and value.endswith(".md")):
        return value
    if not Path(value).is_absolute():
        return machine.unknown("documentation in a file, looked for where Airflow runs") if "\n" not in value else value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return value


def _keys(value: Value) -> list[Fact]:
    return [*sorted(str(key) for key in value)] if isinstance(value, dict) else []


def _params(encode: Encoder, params: Mapping[str, Value]) -> Fact:
    return {"$": "dict", "items": [[key, encode(as_param(value))] for key, value in params.items()]}


def callbacks(encode: Encoder, value: Value) -> list[Fact]:
    """List callbacks, whether one is given or several."""
    if not value:
        return []
    return [encode(each) for each in (value if isinstance(value, list | tuple) else [value])]


def _groups(encode: Encoder, group: Group) -> list[Row]:
    found: list[Row] = []
    for child in group.children:
        if isinstance(child, Group):
            doc = encode(child.tooltip) if child.tooltip else None
            found.append({"id": child.group_id, "doc": doc, "mapped": child.mapped is not None})
            found += _groups(encode, child)
    return found


def timetable(machine: Machine, schedule: Value, zone: Value) -> Row:
    """Say by which timetable Airflow would run this schedule."""
    name = (zone_name(zone) or str(zone)) if isinstance(zone, tzinfo) else "UTC"
    intervals = bool(machine.world.config["create_cron_data_intervals"])
    simple = "airflow.sdk.definitions.timetables.simple"
    match schedule:
        case None:
            return _simple("NullTimetable", simple)
        case "@once":
            return _simple("OnceTimetable", simple)
        case "@continuous":
            return _simple("ContinuousTimetable", simple)
        case str():
            return _cron(_PRESETS.get(schedule, schedule), name, intervals)
        case timedelta():
            return _delta(schedule, intervals)
        case Made() if schedule.kind.rpartition(".")[2] in ("CronTriggerTimetable", "CronDataIntervalTimetable"):
            return _given_cron(machine, schedule)
        case list() | tuple() | set() | Made(kind="asset" | "assets" | "alias" | "airflow.sdk.AssetExpression"):
            return _simple("AssetTriggeredTimetable", "airflow.sdk.definitions.timetables.assets")
        case Made():
            kind = schedule.kind.rpartition(".")
            return {"class": kind[2], "module": kind[0], "text": f"{kind[2]}(…)"}
        case Unknown():
            why = schedule.why
            return {"class": "unknown", "module": "", "text": why.what, "unknown": unknown_fact(why)}
    doubt = machine.doubt("a schedule of an unknown kind")
    return {"class": "unknown", "module": "", "text": doubt.what, "unknown": unknown_fact(doubt)}


def _simple(kind: str, module: str) -> Row:
    return {"class": kind, "module": module, "text": f"<{module}.{kind} object>"}


def _cron(cron: str, zone: str, intervals: bool, shift: Fact = None) -> Row:
    if intervals:
        return {"class": "CronDataIntervalTimetable", "module": "airflow.sdk.definitions.timetables.interval",
                "text": f"CronDataIntervalTimetable(expression={cron!r}, timezone=Timezone({zone!r}))",
                "cron": cron, "zone": zone}  # fmt: skip
    return {"class": "CronTriggerTimetable", "module": "airflow.sdk.definitions.timetables.trigger",
            "text": f"CronTriggerTimetable(expression={cron!r}, timezone=Timezone({zone!r}), "
            "interval=datetime.timedelta(0), run_immediately=False)", "cron": cron, "zone": zone,
            "interval": shift or {"$": "timedelta", "seconds": 0.0}, "run_immediately": False}  # fmt: skip


def _delta(length: timedelta, intervals: bool) -> Row:
    delta: Fact = {"$": "timedelta", "seconds": length.total_seconds()}
    if intervals:
        return {"class": "DeltaDataIntervalTimetable", "module": "airflow.sdk.definitions.timetables.interval",
                "text": f"DeltaDataIntervalTimetable(delta={length!r})", "delta": delta}  # fmt: skip
    return {"class": "DeltaTriggerTimetable", "module": "airflow.sdk.definitions.timetables.trigger",
            "text": f"DeltaTriggerTimetable(delta={length!r}, interval=datetime.timedelta(0))", "delta": delta,
            "interval": {"$": "timedelta", "seconds": 0.0}}  # fmt: skip


def _given_cron(machine: Machine, made: Made) -> Row:
    from pgdurable_airflow.importer.load.syntax.known import zone as read_zone

    given = dict(zip(("cron",), made.args, strict=False)) | made.kwargs
    cron, where, shift = (
        given.get("cron"),
        given.get("timezone", made.args[1] if len(made.args) > 1 else None),
        given.get("interval"),
    )
    zone = read_zone(machine, where, None) if where is not None else None  # type: ignore[arg-type]
    kind = made.kind.rpartition(".")[2]
    if not isinstance(cron, str) or not isinstance(zone, tzinfo) or given.get("run_immediately"):
        doubt = machine.doubt(f"the arguments of {kind}")
        return {"class": "unknown", "module": "", "text": doubt.what, "unknown": unknown_fact(doubt)}
    interval: Fact = {"$": "timedelta", "seconds": shift.total_seconds()} if isinstance(shift, timedelta) else None
    return _cron(_PRESETS.get(cron, cron), zone_name(zone) or str(zone), kind == "CronDataIntervalTimetable", interval)


def class_facts(task: Task) -> list[Row]:
    """Describe the classes of a task, the user's own first."""
    chain: list[Row] = [_own_class(each) for each in task.own]
    known = library.operator(task.operator)
    if known is None:
        base = library.library()["classes"]
        return [*chain, {"name": task.operator, "own": [], "defaults": [], "methods": [], "mine": False},
                {"name": library.BASE, "own": base[library.BASE]["own"], "mine": False}]  # fmt: skip
    for name in known["chain"]:
        found = library.library()["classes"][name]
        row: Row = {"name": name, "own": found["own"]}
        if name != library.BASE:
            row |= {"defaults": found["defaults"], "methods": found["methods"]}
        chain.append({**row, "mine": False})
    return chain


def _own_class(cls: Class) -> Row:
    functions = [name for name, value in cls.names.items() if isinstance(value, Function)]
    plain = [
        name
        for name, value in cls.names.items()
        if not isinstance(value, Function | Decorated) and not name.startswith("_") and name not in _DISPLAY
    ]
    return {
        "name": f"{cls.module.name}.{cls.qualname}",
        "own": [name for name in EXECUTION if name in cls.names],
        "defaults": cast("Fact", sorted(plain)),
        "methods": cast("Fact", sorted(
            name for name in functions
            if not name.startswith("__") and cast("Function", cls.names[name]).is_plain
        )),
        "mine": True,
    }  # fmt: skip


def task_facts(machine: Machine, dag: Dag, task: Task, folders: list[str]) -> Row:
    """Describe a task."""
    encode = Encoder(machine)
    machine.file, machine.line = task.file, task.line
    known = library.operator(task.operator)
    doubts: list[Doubt] = list(task.doubts)
    if task.is_unknown_class:
        doubts.append(Doubt(f"the class {task.operator}", task.file, task.line))
    extensions = _extensions(task)
    given: Row = dict(known["given"]) if known is not None and known["is_known"] and not task.is_mapped else {}
    if task.is_mapped and not _is_decorated(task):
        given |= library.library()["mapped_given"]
    given |= {name: _given(encode, name, value) for name, value in task.given.items()}
    facts: Row = {
        "task_id": task.task_id,
        "file": task.file,
        "line": task.line,
        "mapped": task.is_mapped,
        "classes": cast("Fact", class_facts(task)),
        "operator_name": known["operator_name"] if known is not None else None,
        "stub": False,
        "upstream": cast("Fact", sorted(str(up.task_id) for up in task.upstream)),
        "template_fields": cast("Fact", template_fields(task)),
        "template_ext": cast("Fact", list(extensions)),
        "mapped_group": task.group is not None and task.group.is_mapped,
        "fields": _fields(encode, task, known),
        "hooks": _hooks(encode, task),
        "files": {},
        "attributes": _attributes(encode, task, known),
        "given": given,
        "doubts": [doubt_fact(doubt) for doubt in doubts],
    }
    if not library.keeps_arguments(task.operator):
        # What its constructors hand on to each other is not known; no rule reads it.
        facts["partly"] = ["given"]
    if task.is_mapped:
        facts["expand"] = {"kind": task.expand_kind, "value": encode(task.expand)}
    facts["files"] = _files(task, extensions, folders)
    function = task.given.get("python_callable", task.function)
    if isinstance(function, Function | Decorated):
        facts["callable"] = encode.callable(function)
        inner = function.function if isinstance(function, Decorated) else function
        facts["table"] = branch_table(machine, inner, task.params or dag.params, encode)
    elif function is not None and not isinstance(function, Unknown):
        facts["callable"] = encode.callable(function)
    return facts


def _is_decorated(task: Task) -> bool:
    return isinstance(task.function, Function)


def _given(encode: Encoder, name: str, value: Value) -> Fact:
    if name == "params" and isinstance(value, dict):
        return _params(encode, {str(key): inner for key, inner in value.items()})
    return encode(value)


def _extensions(task: Task) -> tuple[str, ...]:
    for each in task.own:
        found = each.names.get("template_ext")
        if isinstance(found, list | tuple):
            return tuple(str(one) for one in found)
    given = task.given.get("templates_exts")
    known = library.operator(task.operator)
    if isinstance(given, list | tuple) and given and known is not None and library.PYTHON in known["chain"]:
        return tuple(str(one) for one in given)
    return tuple(known["template_ext"]) if known is not None else ()


def _fields(encode: Encoder, task: Task, known: Mapping[str, Any] | None) -> Row:
    fields: Row = dict(library.library()["base_fields"])
    if known is not None and known["is_known"]:
        fields |= known["fields"]
    if task.is_mapped:
        fields |= library.library()["mapped_fields"]
    fields |= {name: encode(value) for name, value in task.fields.items() if name in TASK_FIELDS}
    return fields


def _hooks(encode: Encoder, task: Task) -> Row:
    hooks: Row = {}
    for name in ("failure", "success", "retry", "execute", "skipped"):
        found = callbacks(encode, task.base_arguments.get(f"on_{name}_callback"))
        if found:
            hooks[f"on_{name}_callback"] = found
    for name in ("pre_execute", "post_execute"):
        if task.base_arguments.get(name) is not None:
            hooks[f"_{name}_hook"] = [encode(task.base_arguments[name])]
    return hooks


def _attributes(encode: Encoder, task: Task, known: Mapping[str, Any] | None) -> Row:
    if task.is_mapped:
        return {}
    found: Row = dict(known["attributes"]) if known is not None and known["is_known"] else {}
    held = known["held"] if known is not None and known["is_known"] else []
    given = task.base_arguments
    for name in held:
        if name not in given and not library.keeps_arguments(task.operator):
            # Other constructors may compute what they hold from other arguments; no rule reads it.
            found[name] = unknown_fact(Doubt(f"what {task.operator} makes of its arguments", task.file, task.line))
        elif name in given:
            found[name] = _held(encode, name, given[name], found.get(name))
    for name, value in task.attributes.items():
        if name in OPERATOR_ATTRIBUTES or name in template_fields(task):
            found[name] = encode(value)
    return found


def _held(encode: Encoder, name: str, value: Value, default: Fact) -> Fact:
    """Encode an argument as the object holds it: empty ones where the constructor puts its own in their place."""
    if name in ("op_args", "op_kwargs", "hook_params") and not value:
        return default
    if name == "skip_on_exit_code":
        return [value] if isinstance(value, int) else [] if value is None else encode(value)
    return encode(value)


def _files(task: Task, extensions: tuple[str, ...], folders: list[str]) -> Row:
    """Read the template files a task names, from where Airflow would take them."""
    found: Row = {}
    if not extensions:
        return found
    for field in template_fields(task):
        value = task.given.get(field, task.attributes.get(field))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and item.endswith(extensions):
                found[item] = _file(item, folders)
    return found


def _file(name: str, folders: list[str]) -> Row:
    parts = name.split("/")
    if ".." not in parts:
        for folder in folders:
            path = Path(folder, *[part for part in parts if part and part != "."])
            if path.is_file():
                try:
                    return {"text": path.read_bytes().decode().replace("\r\n", "\n"), "path": str(path.resolve())}
                except (OSError, UnicodeDecodeError) as error:
                    return {"error": f"{type(error).__name__}: {error}"}
    return {
        "error": f"TemplateNotFound: {name!r} not found in search path: " + ", ".join(repr(each) for each in folders)
    }
