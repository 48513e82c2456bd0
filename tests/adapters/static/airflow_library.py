"""What static reading must know of Airflow's own classes, as a real Airflow shows it.

Run by the interpreter that has Airflow, in a process of its own: `airflow_library.py CHILD OUTPUT`. Every operator of
the providers standard, common.sql and postgres is made once with the least it takes, and described in the child's
words.
"""

# mypy: ignore-errors

import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

MODULES = (
    "airflow", "airflow.sdk", "airflow.sdk.bases", "airflow.sdk.definitions", "airflow.decorators",
    "airflow.operators", "airflow.sensors", "airflow.hooks", "airflow.timetables", "airflow.providers.standard",
    "airflow.providers.common.sql", "airflow.providers.postgres",
)  # fmt: skip
SINGLE = (
    "airflow.models", "airflow.models.baseoperator", "airflow.models.connection", "airflow.models.dag",
    "airflow.models.param", "airflow.models.variable", "airflow.models.xcom_arg", "airflow.models.xcom",
    "airflow.models.mappedoperator", "airflow.exceptions", "airflow.sdk.exceptions", "airflow.configuration",
    "airflow.macros", "airflow.sdk.timezone",
    "airflow.utils.task_group", "airflow.utils.edgemodifier", "airflow.utils.trigger_rule", "airflow.utils.timezone",
    "airflow.utils.helpers", "airflow.utils.state", "airflow.utils.weekday", "airflow.utils.types",
    "airflow.utils.weight_rule", "airflow.utils.setup_teardown", "airflow.utils.xcom", "airflow.utils.email",
    "airflow.utils.db", "airflow.utils.session", "airflow.utils.log.logging_mixin", "airflow.datasets",
    "airflow.providers.common.compat.sdk",
)  # fmt: skip


INNER = (
    "example_dags", "_internal", "_shared", ".api", "execution_time", "serde", "crypto", "partition_mappers",
    "observability", ".log", "plugins_manager", "providers_manager", ".triggers", "lineage",
)  # fmt: skip


def modules():
    names = list(SINGLE)
    for root in MODULES:
        names.append(root)
        try:
            package = importlib.import_module(root)
        except Exception:
            continue
        deep = root.startswith("airflow.providers") or root.startswith("airflow.sdk.")
        inside = pkgutil.walk_packages if deep else pkgutil.iter_modules
        if root == "airflow":
            continue
        for info in inside(package.__path__, root + "."):
            names.append(info.name)
        names += [name for name in sys.modules if name.startswith(root + ".")]
    return sorted(name for name in set(names) if not any(part in name for part in INNER))


# Names that old files use and that no listing of a module shows.
OLD = (
    "airflow.utils.trigger_rule.TriggerRule", "airflow.utils.task_group.TaskGroup", "airflow.utils.weekday.WeekDay",
    "airflow.utils.weight_rule.WeightRule", "airflow.models.baseoperator.BaseOperator",
    "airflow.models.baseoperator.chain", "airflow.models.baseoperator.chain_linear",
    "airflow.models.baseoperator.cross_downstream", "airflow.models.param.Param", "airflow.models.param.ParamsDict",
    "airflow.utils.setup_teardown.SetupTeardownContext", "airflow.utils.timezone.datetime",
    "airflow.utils.timezone.utcnow", "airflow.utils.timezone.parse", "airflow.models.taskinstance.TaskInstance",
    "airflow.models.dagrun.DagRun", "airflow.models.dagbag.DagBag", "airflow.models.pool.Pool",
    "airflow.utils.context.Context", "airflow.utils.log.logging_mixin.LoggingMixin", "airflow.datasets.Dataset",
    "airflow.models.mappedoperator.MappedOperator", "airflow.models.xcom_arg.XComArg",
    "airflow.sensors.base.BaseSensorOperator",
    "airflow.hooks.base.BaseHook", "airflow.notifications.basenotifier.BaseNotifier",
    "airflow.sdk.definitions.deadline.DeadlineAlert", "airflow.utils.decorators.apply_defaults",
)  # fmt: skip


def moved():
    """Read where Airflow says that its classes of old went."""
    found = {}
    for package in ("operators", "sensors", "hooks", "decorators", "models", "notifications", "macros", "utils"):
        module = importlib.import_module(f"airflow.{package}")
        for inner, names in vars(module).get("__deprecated_classes", {}).items():
            where = inner if inner.startswith("airflow.") else f"airflow.{package}.{inner}"
            for name, target in names.items():
                found[f"{where}.{name}"] = target
    return sorted(found)


def described(value):
    if inspect.isclass(value):
        return ["class", value.__module__, value.__qualname__]
    if inspect.isfunction(value):
        return ["function", value.__module__, value.__qualname__]
    return ["value", type(value).__module__, type(value).__name__]


def public(module):
    listed = list(getattr(module, "__all__", ())) or [name for name in dir(module) if not name.startswith("_")]
    lazy = []
    for table in ("__lazy_imports", "_lazy_imports", "_AIRFLOW3_MAP", "__deprecated_classes"):
        found = getattr(module, table, None)
        if isinstance(found, dict):
            lazy += [name for name in found if isinstance(found[name], (str, tuple))]
    return sorted({*listed, *lazy})


def names_of(name):
    try:
        module = importlib.import_module(name)
    except Exception:
        return {}
    found = {}
    for attribute in public(module):
        try:
            value = getattr(module, attribute)
        except Exception:
            continue
        if (
            attribute == "*"
            or inspect.ismodule(value)
            or isinstance(value, (str, int, float, list, dict, set, tuple, type(None)))
        ):
            continue
        kind, where, qualname = described(value)
        if where.startswith("airflow."):
            found[attribute] = f"{kind} {where}:{qualname}"
    return found


def minimal(cls, dag_class):
    """Make an operator with the least it takes, and describe it; None where that needs more than placeholders."""

    def placeholder_callable():
        return None

    required = []
    given = {"task_id": "t"}
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor) or ancestor is object:
            continue
        for parameter in inspect.signature(ancestor.__init__).parameters.values():
            if parameter.name in ("self", "task_id") or parameter.kind in (
                parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL
            ):  # fmt: skip
                continue
            if parameter.default is parameter.empty and parameter.name not in [*given, *required]:
                required.append(parameter.name)
    for attempt in ("placeholder", 1, ["placeholder"], {"a": "placeholder"}, placeholder_callable):
        values = {name: placeholder_callable if name == "python_callable" else attempt for name in required}
        for wanted in ([], required):
            try:
                with dag_class("d"):
                    task = cls(task_id="t", **{name: values[name] for name in wanted})
                return task, sorted(wanted)
            except Exception:
                continue
    return None, sorted(required)


def parameters_of(cls, base):
    levels = {}
    for ancestor in cls.__mro__:
        if "__init__" in vars(ancestor) and ancestor is not object:
            signature = inspect.signature(ancestor.__init__)
            levels[f"{ancestor.__module__}.{ancestor.__qualname__}"] = [
                parameter.name
                for parameter in signature.parameters.values()
                if parameter.name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            ]
        if ancestor is base:
            break
    return levels


def library(child):
    import airflow
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, BaseOperator

    child.open_modules(3)
    child.install_recorders()
    names = {name: found for name in modules() if (found := names_of(name))}
    for dotted in [*OLD, *moved()]:
        module, _, leaf = dotted.rpartition(".")
        try:
            kind, where, qualname = described(getattr(importlib.import_module(module), leaf))
        except Exception:
            continue
        if leaf != "*":
            names.setdefault(module, {})[leaf] = f"{kind} {where}:{qualname}"
    classes = {}
    operators = {}
    wanted = {}
    for module, found in names.items():
        for name, entry in found.items():
            kind, _, place = entry.partition(" ")
            where, _, qualname = place.partition(":")
            if kind == "class":
                value = getattr(importlib.import_module(module), name)
                if issubclass(value, BaseOperator) and where.startswith("airflow.") and "." not in qualname:
                    wanted[f"{where}.{qualname}"] = value
    decorators = {}
    decorated_tasks = {}
    for name in ("python", "bash", "branch", "branch_external_python", "branch_virtualenv", "external_python",
                 "virtualenv", "sensor", "short_circuit", "stub"):  # fmt: skip
        from airflow.sdk import task

        def probe(): ...

        made = getattr(task, name)
        extra = {"python": "p"} if "external" in name else {"requirements": []} if "virtualenv" in name else {}
        try:
            decorated = made(**extra)(probe) if extra else made(probe)
            cls = decorated.operator_class
            decorators[name] = f"{cls.__module__}.{cls.__qualname__}"
            wanted[decorators[name]] = cls
            with DAG("d"):
                decorated_tasks[cls] = decorated().operator
        except Exception:
            continue
    with DAG("d") as dag:
        plain = EmptyOperator(task_id="t")
        mapped = EmptyOperator.partial(task_id="m").expand(doc=["a"])
    request = {}
    base_fields = child.task_facts(dag, plain, request)["fields"]
    mapped_facts = child.task_facts(dag, mapped, request)
    for full, cls in sorted(wanted.items()):
        chain = child.class_facts(cls)
        for each in chain:
            classes[each["name"]] = {key: each[key] for key in ("own", "defaults", "methods") if key in each}
        for name, parameters in parameters_of(cls, BaseOperator).items():
            classes[name] = {**classes.get(name, {}), "parameters": parameters}
        task, required = (decorated_tasks[cls], ["python_callable"]) if cls in decorated_tasks else minimal(cls, DAG)
        entry = {
            "chain": [each["name"] for each in chain],
            "required": required,
            "template_fields": list(cls.template_fields or ()) if not isinstance(cls.template_fields, property) else [],
            "template_ext": list(cls.template_ext or ()) if not isinstance(cls.template_ext, property) else [],
            "operator_name": getattr(cls, "custom_operator_name", None),
            "is_known": task is not None,
        }
        if not isinstance(entry["operator_name"], str):
            entry["operator_name"] = None
        if task is not None:
            facts = child.task_facts(task.dag, task, request)
            entry["fields"] = {key: value for key, value in facts["fields"].items() if value != base_fields[key]}
            skip = {"task_id", "kwargs_to_upstream", "python", "requirements", *required}
            entry["given"] = {key: value for key, value in facts["given"].items() if key not in skip}
            entry["attributes"] = {
                key: shortened(value) for key, value in facts["attributes"].items() if key not in required
            }
            entry["held"] = sorted(facts["attributes"])
        operators[full] = entry
    return {
        "airflow": airflow.__version__,
        "base_parameters": child.base_parameters(),
        "base_fields": base_fields,
        "mapped_fields": {key: value for key, value in mapped_facts["fields"].items() if value != base_fields[key]},
        "mapped_given": {key: value for key, value in mapped_facts["given"].items() if key != "task_id"},
        "trigger_rules": sorted(rule.value for rule in __import__("airflow.sdk", fromlist=["TriggerRule"]).TriggerRule),
        "decorators": decorators,
        "names": names,
        "classes": classes,
        "operators": operators,
    }


def shortened(value):
    """Keep of a library function what names it: its text and its file belong to the installation."""
    if isinstance(value, dict) and value.get("$") == "callable":
        kept = {key: value["callable"][key] for key in ("module", "qualname", "name", "bound")}
        empty = {"file": None, "line": None, "params": [], "uses": [], "source": None}
        return {"$": "callable", "callable": {**kept, **empty}}
    return value


def text_of(found):
    """Write the library with a line for each entry, so that a difference can be read."""
    lines = ["{"]
    for number, (key, value) in enumerate(found.items()):
        comma = "," if number < len(found) - 1 else ""
        if key in ("names", "classes", "operators"):
            inner = [f"{json.dumps(name)}: {json.dumps(each, sort_keys=True)}" for name, each in sorted(value.items())]
            lines.append(f"{json.dumps(key)}: {{\n" + ",\n".join(inner) + "\n}" + comma)
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}{comma}")
    return "\n".join([*lines, "}"]) + "\n"


if __name__ == "__main__":
    specification = importlib.util.spec_from_file_location("child", sys.argv[1])
    module = importlib.util.module_from_spec(specification)
    sys.modules["child"] = module
    specification.loader.exec_module(module)
    Path(sys.argv[2]).write_text(text_of(library(module)))
