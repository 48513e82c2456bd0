"""Execute DAG files under a real Airflow and answer with facts as JSON.

ONE file, standard library only, Python 3.8 syntax: it is run by the interpreter the user names, which has Airflow
(2.10, 2.11 or 3) and lacks pgdurable. The request is one JSON object on stdin, the answers are JSON lines on the file
descriptor the request names; stdout and stderr belong to the DAG files. Airflow is imported once, then every file is
executed in a fork of its own: own process group, limits on memory and time, killed as a group.
"""

# Written for Python 3.8, and around classes of three Airflow versions that no one interpreter can show to a type checker.
# mypy: ignore-errors
# ruff: noqa

import ast
import base64
import datetime
import enum
import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import itertools
import json
import logging
import os
import random
import re
import resource
import select
import signal
import sys
import textwrap
import time
import traceback
import types

MAX_TEXT = 2000000
MAX_DEPTH = 12
MAX_ITEMS = 20000
MAX_COMBINATIONS = 256

REAL_DATETIME = datetime.datetime
REAL_DATE = datetime.date
REAL_TIME = time.time

EXECUTION = (
    "execute",
    "pre_execute",
    "post_execute",
    "render_template_fields",
    "get_db_hook",
    "on_kill",
    "template_fields",
    "template_ext",
    "__init__",
)
TASK_FIELDS = (
    "retries",
    "trigger_rule",
    "pool",
    "pool_slots",
    "priority_weight",
    "weight_rule",
    "queue",
    "depends_on_past",
    "wait_for_downstream",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "execution_timeout",
    "is_setup",
    "is_teardown",
    "on_failure_fail_dagrun",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
    "owner",
    "email",
    "email_on_failure",
    "email_on_retry",
    "do_xcom_push",
    "multiple_outputs",
    "run_as_user",
    "executor",
    "doc",
    "doc_md",
    "sla",
    "start_date",
    "end_date",
    "inlets",
    "outlets",
)
OPERATOR_ATTRIBUTES = (
    "sql",
    "conn_id",
    "postgres_conn_id",
    "database",
    "autocommit",
    "parameters",
    "handler",
    "split_statements",
    "return_last",
    "output_processor",
    "hook_params",
    "requires_result_fetch",
    "bash_command",
    "env",
    "append_env",
    "cwd",
    "output_encoding",
    "skip_on_exit_code",
    "op_args",
    "op_kwargs",
    "templates_dict",
    "templates_exts",
)
DAG_FIELDS = (
    "catchup",
    "max_active_runs",
    "max_active_tasks",
    "dagrun_timeout",
    "end_date",
    "description",
    "doc_md",
    "is_paused_upon_creation",
    "render_template_as_native_obj",
    "fail_fast",
    "fail_stop",
    "owner",
    "deadline",
    "max_consecutive_failed_dag_runs",
    "sla_miss_callback",
    "access_control",
    "jinja_environment_kwargs",
)


# ---------------------------------------------------------------------------------------------------------------------
# Stubs for modules that are not installed


class Missing:
    """What stubs did: modules and names used, and the uses that make a graph incomplete."""

    modules = {}
    taking_part = []


def took_part(path, how, only_near=False):
    """Record a use by the author's code, and say whether it was one. `only_near` leaves out what libraries do for it.

    Airflow and `typing` compare, hash and print values on their own; a text they make of one still holds `<stub `.
    """
    site = user_site(only_near=only_near)
    if site[0]:
        dag = current_dag()
        Missing.taking_part.append({"stub": path, "how": how, "file": site[0], "line": site[1], "dag": dag})
    return bool(site[0])


def current_dag():
    """Name the DAG that is being built, if one is; outside of it a stub may concern every DAG of the file."""
    for name in ("airflow.sdk.definitions._internal.contextmanager", "airflow.models.dag"):
        context = getattr(sys.modules.get(name), "DagContext", None)
        get = getattr(context, "get_current", None) or getattr(context, "get_current_dag", None)
        try:
            dag = get() if get is not None else None
        except Exception:
            dag = None
        if dag is not None:
            return dag.dag_id
    return None


class Anything:
    """Stands for a value from a module that is not there. Whatever shapes the graph through it is recorded."""

    def __init__(self, path):
        object.__setattr__(self, "_pgd_path", path)

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Anything("%s.%s" % (self._pgd_path, name))

    def __call__(self, *args, **kwargs):
        if len(args) == 1 and not kwargs and inspect.isfunction(args[0]):
            took_part(self._pgd_path, "decorates " + args[0].__name__)
            return args[0]
        took_part(self._pgd_path, "is called")
        return Anything("%s()" % self._pgd_path)

    def __getitem__(self, key):
        took_part(self._pgd_path, "is indexed")
        return Anything("%s[...]" % self._pgd_path)

    def __iter__(self):
        took_part(self._pgd_path, "is iterated")
        return iter(())

    def __len__(self):
        took_part(self._pgd_path, "is measured")
        return 0

    def __bool__(self):
        took_part(self._pgd_path, "is tested for truth")
        return True

    def __enter__(self):
        took_part(self._pgd_path, "is entered with `with`")
        return self

    def __exit__(self, *args):
        return False

    def __str__(self):
        took_part(self._pgd_path, "is written into a text", only_near=True)
        return "<stub %s>" % self._pgd_path

    __repr__ = __str__

    def __format__(self, spec):
        return format(str(self), spec)

    def __eq__(self, other):
        took_part(self._pgd_path, "is compared", only_near=True)
        return NotImplemented

    def __hash__(self):
        took_part(self._pgd_path, "is looked up or used as a key", only_near=True)
        return id(self)

    def _order(self, other):
        return False if took_part(self._pgd_path, "is compared") else NotImplemented

    __lt__ = __le__ = __gt__ = __ge__ = _order

    def __mro_entries__(self, bases):
        took_part(self._pgd_path, "is subclassed")
        return (object,)

    def _edge(self, other):
        took_part(self._pgd_path, "is put into an edge")
        return other

    __rshift__ = __lshift__ = __rrshift__ = __rlshift__ = _edge

    def __or__(self, other):
        return self

    __ror__ = __add__ = __radd__ = __or__

    def set_upstream(self, *args, **kwargs):
        took_part(self._pgd_path, "is put into an edge")

    set_downstream = set_upstream

    def serialize(self):
        return str(self)


STUB_SUFFIXES = ("Operator", "OperatorAsync", "Sensor", "SensorAsync", "Transfer", "Check", "Marker")


def make_stub_operator(module, name):
    base, sensor_base = base_classes()
    if "Sensor" in name:
        base = sensor_base
    known = set()
    for cls in base.__mro__:
        if "__init__" in vars(cls):
            known.update(inspect.signature(cls.__init__).parameters)

    def __init__(self, *args, **kwargs):
        extra = dict((key, value) for key, value in kwargs.items() if key not in known)
        plain = (str, list, tuple, dict, set)
        fields = [key for key in extra if isinstance(extra[key], plain) or hasattr(extra[key], "iter_references")]
        object.__setattr__(self, "template_fields", tuple(fields))
        for key, value in extra.items():
            object.__setattr__(self, key, value)
        base.__init__(self, **dict((key, value) for key, value in kwargs.items() if key in known))
        for key, value in extra.items():
            setattr(self, key, value)

    def execute(self, context):
        raise NotImplementedError("%s.%s is a stub" % (module, name))

    body = {"__init__": __init__, "__module__": module, "template_fields": (), "_pgd_stub": True, "execute": execute}
    return type(base)(name, (base,), body)


class StubModule(types.ModuleType):
    def __repr__(self):
        return "<stub %s>" % self.__name__

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        Missing.modules.setdefault(self.__name__, set()).add(name)
        if name.endswith(STUB_SUFFIXES) and name[:1].isupper():
            value = make_stub_operator(self.__name__, name)
        elif name[:1].isupper() and name.endswith(("Error", "Exception", "Warning")):
            value = type(name, (Exception,), {})
        else:
            value = Anything("%s.%s" % (self.__name__, name))
        setattr(self, name, value)
        return value


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Appended to sys.meta_path: sees only names nothing else finds, and answers only for those the file imports."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        for wanted in self.names:
            if name == wanted or wanted.startswith(name + "."):
                return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = StubModule(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        Missing.modules.setdefault(module.__name__, set())


def imports_of(path):
    """List the dotted module names a file and the siblings it imports name in import statements."""
    names = set()
    try:
        with open(path, "rb") as stream:
            tree = ast.parse(stream.read())
    except (SyntaxError, ValueError):
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update("%s.%s" % (node.module, alias.name) for alias in node.names if alias.name != "*")
    return names


def missing_modules(path, roots, seen=None):
    """Say which imported modules nothing can find. Siblings in the dags folder are followed.

    `from x import y` names `x.y` too, which is a module only when `x` is a package and has no such attribute; so only
    what is written as a module counts.
    """
    seen = set() if seen is None else seen
    wanted = set()
    try:
        with open(path, "rb") as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError):
        return wanted
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
            modules += ["%s.%s" % (node.module, alias.name) for alias in node.names]
        for number, name in enumerate(modules):
            sibling = sibling_file(name, roots)
            if sibling:
                if sibling not in seen:
                    seen.add(sibling)
                    wanted |= missing_modules(sibling, roots, seen)
                continue
            if number and isinstance(node, ast.ImportFrom):
                continue
            if name in sys.modules or guarded(tree, node):
                continue
            try:
                found = importlib.util.find_spec(name) is not None
            except Exception:
                found = False
            if not found:
                wanted.add(name)
    return wanted


def is_within(name, package):
    return name == package or name.startswith(package + ".")


def guarded(tree, wanted):
    """Say whether an import stands in a `try` that handles its failure, or under TYPE_CHECKING: it may fail."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.handlers:
            if any(wanted is inner for statement in node.body for inner in ast.walk(statement)):
                return True
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            if any(wanted is inner for statement in node.body for inner in ast.walk(statement)):
                return True
    return False


def sibling_file(name, roots):
    parts = name.split(".")
    for root in roots:
        base = os.path.join(root, *parts)
        for candidate in (base + ".py", os.path.join(base, "__init__.py")):
            if os.path.isfile(candidate):
                return os.path.realpath(candidate)
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Names of Airflow 1 and 2 under Airflow 3

STANDARD = "airflow.providers.standard"
SQL = "airflow.providers.common.sql"
LEGACY = {
    "airflow.operators.dummy.DummyOperator": STANDARD + ".operators.empty.EmptyOperator",
    "airflow.operators.dummy_operator.DummyOperator": STANDARD + ".operators.empty.EmptyOperator",
    "airflow.operators.python_operator.PythonOperator": STANDARD + ".operators.python.PythonOperator",
    "airflow.operators.python_operator.BranchPythonOperator": STANDARD + ".operators.python.BranchPythonOperator",
    "airflow.operators.python_operator.ShortCircuitOperator": STANDARD + ".operators.python.ShortCircuitOperator",
    "airflow.operators.python_operator.PythonVirtualenvOperator": STANDARD
    + ".operators.python.PythonVirtualenvOperator",
    "airflow.operators.bash_operator.BashOperator": STANDARD + ".operators.bash.BashOperator",
    "airflow.operators.branch_operator.BaseBranchOperator": STANDARD + ".operators.branch.BaseBranchOperator",
    "airflow.operators.latest_only_operator.LatestOnlyOperator": STANDARD + ".operators.latest_only.LatestOnlyOperator",
    "airflow.operators.dagrun_operator.TriggerDagRunOperator": STANDARD
    + ".operators.trigger_dagrun.TriggerDagRunOperator",
    "airflow.operators.sql.BaseSQLOperator": SQL + ".operators.sql.BaseSQLOperator",
    "airflow.operators.sql.SQLCheckOperator": SQL + ".operators.sql.SQLCheckOperator",
    "airflow.operators.sql.SQLValueCheckOperator": SQL + ".operators.sql.SQLValueCheckOperator",
    "airflow.operators.sql.SQLIntervalCheckOperator": SQL + ".operators.sql.SQLIntervalCheckOperator",
    "airflow.operators.sql.SQLThresholdCheckOperator": SQL + ".operators.sql.SQLThresholdCheckOperator",
    "airflow.operators.sql.BranchSQLOperator": SQL + ".operators.sql.BranchSQLOperator",
    "airflow.operators.sql_branch_operator.BranchSQLOperator": SQL + ".operators.sql.BranchSQLOperator",
    "airflow.operators.sql_branch_operator.BranchSqlOperator": SQL + ".operators.sql.BranchSQLOperator",
    "airflow.operators.check_operator.CheckOperator": SQL + ".operators.sql.SQLCheckOperator",
    "airflow.operators.check_operator.ValueCheckOperator": SQL + ".operators.sql.SQLValueCheckOperator",
    "airflow.operators.check_operator.IntervalCheckOperator": SQL + ".operators.sql.SQLIntervalCheckOperator",
    "airflow.operators.check_operator.ThresholdCheckOperator": SQL + ".operators.sql.SQLThresholdCheckOperator",
    "airflow.operators.check_operator.SQLCheckOperator": SQL + ".operators.sql.SQLCheckOperator",
    "airflow.hooks.base_hook.BaseHook": "airflow.sdk.BaseHook",
    "airflow.hooks.dbapi_hook.DbApiHook": SQL + ".hooks.sql.DbApiHook",
    "airflow.hooks.dbapi.DbApiHook": SQL + ".hooks.sql.DbApiHook",
    "airflow.hooks.postgres_hook.PostgresHook": "airflow.providers.postgres.hooks.postgres.PostgresHook",
    "airflow.datasets.Dataset": "airflow.sdk.Asset",
    "airflow.datasets.DatasetAlias": "airflow.sdk.AssetAlias",
    "airflow.sensors.base_sensor_operator.BaseSensorOperator": "airflow.sdk.BaseSensorOperator",
    "airflow.sensors.sql.SqlSensor": SQL + ".sensors.sql.SqlSensor",
    "airflow.sensors.sql_sensor.SqlSensor": SQL + ".sensors.sql.SqlSensor",
    "airflow.sensors.external_task_sensor.ExternalTaskSensor": STANDARD + ".sensors.external_task.ExternalTaskSensor",
    "airflow.sensors.external_task_sensor.ExternalTaskMarker": STANDARD + ".sensors.external_task.ExternalTaskMarker",
    "airflow.sensors.date_time_sensor.DateTimeSensor": STANDARD + ".sensors.date_time.DateTimeSensor",
    "airflow.sensors.time_delta_sensor.TimeDeltaSensor": STANDARD + ".sensors.time_delta.TimeDeltaSensor",
    "airflow.contrib.sensors.bash_sensor.BashSensor": STANDARD + ".sensors.bash.BashSensor",
    "airflow.contrib.sensors.file_sensor.FileSensor": STANDARD + ".sensors.filesystem.FileSensor",
    "airflow.contrib.sensors.python_sensor.PythonSensor": STANDARD + ".sensors.python.PythonSensor",
    "airflow.contrib.sensors.weekday_sensor.DayOfWeekSensor": STANDARD + ".sensors.weekday.DayOfWeekSensor",
    "airflow.contrib.hooks.fs_hook.FSHook": STANDARD + ".hooks.filesystem.FSHook",
    "airflow.contrib.utils.weekday.WeekDay": STANDARD + ".utils.weekday.WeekDay",
    "airflow.utils.weekday.WeekDay": STANDARD + ".utils.weekday.WeekDay",
    "airflow.utils.helpers.chain": "airflow.sdk.chain",
    "airflow.utils.helpers.cross_downstream": "airflow.sdk.cross_downstream",
}
# Trigger rules that Airflow 3 knows by another name, as text and as members of TriggerRule.
OLD_RULES = {"dummy": "always", "none_failed_or_skipped": "none_failed_min_one_success"}
# What DAG() took by position in Airflow 2; Airflow 3 takes the id alone.
DAG_POSITIONS = ("dag_id", "description", "schedule_interval", "start_date", "end_date")
POSTGRES_OPERATORS = (
    "airflow.providers.postgres.operators.postgres.PostgresOperator",
    "airflow.operators.postgres_operator.PostgresOperator",
)
DAYS_AGO = "airflow.utils.dates.days_ago"
APPLY_DEFAULTS = "airflow.utils.decorators.apply_defaults"
LEGACY_NAMES = list(LEGACY) + list(POSTGRES_OPERATORS) + [DAYS_AGO, APPLY_DEFAULTS]
USED_LEGACY = {}


class LegacyModule(types.ModuleType):
    """A module of Airflow 1 or 2 that Airflow 3 lost; each name taken from it is recorded."""

    def __getattr__(self, name):
        dotted = "%s.%s" % (self.__name__, name)
        if dotted in LEGACY:
            module, _, leaf = LEGACY[dotted].rpartition(".")
            value = getattr(importlib.import_module(module), leaf)
            USED_LEGACY[dotted] = LEGACY[dotted]
        elif dotted in POSTGRES_OPERATORS:
            value = make_postgres_operator()
            USED_LEGACY[dotted] = SQL + ".operators.sql.SQLExecuteQueryOperator"
        elif dotted == APPLY_DEFAULTS:
            value = apply_defaults
            USED_LEGACY[dotted] = "nothing: operators do it themselves"
        elif dotted == DAYS_AGO:
            value = days_ago
            USED_LEGACY[dotted] = "pendulum.today('UTC').add(days=-n)"
        else:
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        return value


def apply_defaults(function):
    return function


def days_ago(n, hour=0, minute=0, second=0, microsecond=0):
    import pendulum

    now = Clock.now()
    day = pendulum.datetime(now.year, now.month, now.day, tz="UTC")
    Clock.note()
    return day.add(days=-n).replace(hour=hour, minute=minute, second=second, microsecond=microsecond)


@functools.cache
def make_postgres_operator():
    from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

    class PostgresOperator(SQLExecuteQueryOperator):
        def __init__(self, sql, postgres_conn_id="postgres_default", database=None, runtime_parameters=None, **kwargs):
            if runtime_parameters:
                options = " ".join("-c %s=%s" % pair for pair in runtime_parameters.items())
                kwargs["hook_params"] = {"options": options}
            if database:
                kwargs["database"] = database
            kwargs.setdefault("conn_id", postgres_conn_id)
            SQLExecuteQueryOperator.__init__(self, sql=sql, **kwargs)

    PostgresOperator.__module__ = "airflow.providers.postgres.operators.postgres"
    PostgresOperator.__qualname__ = "PostgresOperator"
    return PostgresOperator


def today_rule(old):
    USED_LEGACY["trigger_rule %r" % str(old)] = "trigger_rule %r" % OLD_RULES[old]
    return OLD_RULES[old]


class OldRule:
    """A member that `TriggerRule` lost: gives the one that took its place, and records that it was asked for."""

    def __init__(self, old, new):
        self.old = old
        self.new = new

    def __get__(self, instance, owner):
        USED_LEGACY["TriggerRule.%s" % self.old.upper()] = "TriggerRule.%s" % self.new.upper()
        return owner(self.new)


class LegacyFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    modules = frozenset(name.rpartition(".")[0] for name in LEGACY_NAMES)

    def find_spec(self, name, path=None, target=None):
        if name in self.modules or any(known.startswith(name + ".") for known in self.modules):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = LegacyModule(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


def install_legacy():
    """Let a DAG file written for Airflow 2 load under 3; what was renamed is recorded."""
    import airflow.sdk

    sys.meta_path.append(LegacyFinder())
    # Modules that Airflow 3 still has, but without the name the old file wants.
    for dotted in [*LEGACY, DAYS_AGO, APPLY_DEFAULTS]:
        module, _, leaf = dotted.rpartition(".")
        try:
            real = importlib.import_module(module)
        except Exception:
            continue
        if not isinstance(real, LegacyModule) and not hasattr(real, leaf):
            previous = getattr(real, "__getattr__", None)

            def fallback(name, previous=previous, module=module):
                try:
                    return LegacyModule(module).__getattr__(name)
                except AttributeError:
                    if previous is None:
                        raise
                    return previous(name)

            real.__getattr__ = fallback
    from airflow.utils.trigger_rule import TriggerRule

    for old, new in OLD_RULES.items():
        if old.upper() not in vars(TriggerRule):
            setattr(TriggerRule, old.upper(), OldRule(old, new))
    original = airflow.sdk.DAG.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        if 1 < len(args) <= len(DAG_POSITIONS):
            for name, value in list(zip(DAG_POSITIONS, args))[1:]:
                if name not in kwargs and value is not None:
                    kwargs[name] = value
            USED_LEGACY["DAG(%s by position)" % ", ".join(DAG_POSITIONS[1 : len(args)])] = "DAG(name=value)"
            args = args[:1]
        renamed = (
            ("schedule_interval", "schedule"),
            ("timetable", "schedule"),
            ("concurrency", "max_active_tasks"),
            ("fail_stop", "fail_fast"),
        )
        for old, new in renamed:
            if old in kwargs and new not in kwargs:
                kwargs[new] = kwargs.pop(old)
                USED_LEGACY["DAG(%s=)" % old] = "DAG(%s=)" % new
        for dropped in ("default_view", "orientation", "full_filepath", "sla_miss_callback"):
            if dropped in kwargs:
                kwargs.pop(dropped)
                USED_LEGACY["DAG(%s=)" % dropped] = "nothing: Airflow 3 has no such argument"
        defaults = kwargs.get("default_args") or {}
        if "provide_context" in defaults:
            defaults = dict((key, value) for key, value in defaults.items() if key != "provide_context")
            USED_LEGACY["default_args['provide_context']"] = "nothing: Airflow 3 has no such argument"
        if "task_concurrency" in defaults:
            limit = defaults["task_concurrency"]
            defaults = dict((key, value) for key, value in defaults.items() if key != "task_concurrency")
            defaults.setdefault("max_active_tis_per_dag", limit)
            USED_LEGACY["default_args['task_concurrency']"] = "default_args['max_active_tis_per_dag']"
        if defaults.get("trigger_rule") in OLD_RULES:
            defaults = dict(defaults, trigger_rule=today_rule(defaults["trigger_rule"]))
        if "default_args" in kwargs:
            kwargs["default_args"] = defaults
        return original(self, *args, **kwargs)

    airflow.sdk.DAG.__init__ = init
    of_operators = airflow.sdk.BaseOperator.__init__

    @functools.wraps(of_operators)
    def init_operator(self, *args, **kwargs):
        # Airflow 1 asked for it before a callable got the context, Airflow 2 ignored it.
        if kwargs.pop("provide_context", None) is not None:
            USED_LEGACY["provide_context="] = "nothing: Airflow 3 has no such argument"
        if "task_concurrency" in kwargs:
            kwargs.setdefault("max_active_tis_per_dag", kwargs.pop("task_concurrency"))
            USED_LEGACY["task_concurrency="] = "max_active_tis_per_dag="
        if kwargs.get("trigger_rule") in OLD_RULES:
            kwargs["trigger_rule"] = today_rule(kwargs["trigger_rule"])
        return of_operators(self, *args, **kwargs)

    airflow.sdk.BaseOperator.__init__ = init_operator
    USED_LEGACY.clear()


# ---------------------------------------------------------------------------------------------------------------------
# What a file reads while it is parsed: the clock, Variables, Connections, the environment


class Clock:
    """The frozen clock. `reads` are the user's lines that looked at it."""

    instant = None
    reads = set()

    @classmethod
    def note(cls):
        site = user_site(past_airflow=False)
        if site[0]:
            cls.reads.add(site)

    @classmethod
    def now(cls, tz=None):
        utc = REAL_DATETIME.fromtimestamp(cls.instant, datetime.timezone.utc)
        return utc.replace(tzinfo=None) if tz is None else utc.astimezone(tz)


class _DatetimeMeta(type):
    def __instancecheck__(cls, value):
        return isinstance(value, REAL_DATETIME)

    def __subclasscheck__(cls, other):
        return issubclass(other, REAL_DATETIME)


class FrozenDatetime(REAL_DATETIME, metaclass=_DatetimeMeta):
    def __new__(cls, *args, **kwargs):
        return REAL_DATETIME.__new__(REAL_DATETIME, *args, **kwargs)

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(REAL_DATETIME)

    @classmethod
    def now(cls, tz=None):
        Clock.note()
        return Clock.now(tz)

    @classmethod
    def utcnow(cls):
        Clock.note()
        return Clock.now()

    @classmethod
    def today(cls):
        Clock.note()
        return Clock.now()


class _DateMeta(type):
    def __instancecheck__(cls, value):
        return isinstance(value, REAL_DATE)

    def __subclasscheck__(cls, other):
        return issubclass(other, REAL_DATE)


class FrozenDate(REAL_DATE, metaclass=_DateMeta):
    def __new__(cls, *args, **kwargs):
        return REAL_DATE.__new__(REAL_DATE, *args, **kwargs)

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        return handler(REAL_DATE)

    @classmethod
    def today(cls):
        Clock.note()
        return Clock.now().date()


def frozen_time():
    Clock.note()
    return Clock.instant


def freeze_clock(instant):
    Clock.instant = instant
    for cls in (FrozenDatetime, FrozenDate):
        base = cls.__mro__[1]
        cls.__name__ = cls.__qualname__ = base.__name__
        cls.__module__ = "datetime"
    datetime.datetime = FrozenDatetime
    datetime.date = FrozenDate
    time.time = frozen_time
    import pendulum

    def now(tz=None):
        Clock.note()
        zone = tz if tz is not None else "UTC"
        return pendulum.from_timestamp(Clock.instant, tz=zone)

    def today(tz="UTC"):
        return now(tz).start_of("day")

    pendulum.now = now
    pendulum.today = today
    pendulum.tomorrow = lambda tz="UTC": today(tz).add(days=1)
    pendulum.yesterday = lambda tz="UTC": today(tz).subtract(days=1)
    for name in ("airflow.utils.timezone", "airflow.sdk.timezone", "airflow._shared.timezones.timezone"):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "utcnow"):
            module.utcnow = lambda: now("UTC")
    dates = sys.modules.get("airflow.utils.dates")
    if dates is not None and "days_ago" in vars(dates):
        dates.days_ago = days_ago


class Reads:
    """Names read at parse time by the user's own code, with the first line that did."""

    variables = {}
    connections = {}
    environment = {}
    missing_variables = set()
    missing_connections = set()


def note_read(table, name):
    if name not in table:
        table[name] = list(user_site())


class Sources:
    """Where Variables and Connections come from in this pass."""

    variables = {}
    connections = {}
    changed = False
    environment = {}


NOTHING = object()


def changed_text(text):
    """Another value of the same kind, so that whatever is built from the first one shows."""
    if re.match(r"^-?[0-9]+$", text):
        return str(int(text) + 1)
    if text.lower() in ("true", "false"):
        return {"true": "False", "false": "True"}[text.lower()]
    try:
        value = json.loads(text)
    except ValueError:
        return text + "_pgd2"
    return json.dumps(changed_value(value))


def changed_value(value):
    if isinstance(value, dict):
        return dict((key, changed_value(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return [changed_value(inner) for inner in value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return value + "_pgd2"
    return value


def variable_get(key, default=NOTHING, deserialize_json=False):
    note_read(Reads.variables, key)
    # AIRFLOW_VAR_NAME of the environment holds for every way of writing the name.
    given = key if key in Sources.variables else key.lower() if key.lower() in Sources.variables else None
    if given is not None:
        text = Sources.variables[given]
        if Sources.changed:
            text = changed_text(text)
        return json.loads(text) if deserialize_json else text
    Reads.missing_variables.add(key)
    if default is not NOTHING:
        if Sources.changed and isinstance(default, str):
            return default + "_pgd2"
        return default
    text = "pgdurable-missing-variable-%s%s" % (key, "_pgd2" if Sources.changed else "")
    return {} if deserialize_json else text


def connection_get(conn_id):
    note_read(Reads.connections, conn_id)
    fields = Sources.connections.get(conn_id) or Sources.connections.get(conn_id.lower())
    if fields is None:
        Reads.missing_connections.add(conn_id)
        mark = "pgdurable-missing-connection-%s" % conn_id
        fields = {"conn_type": "generic", "host": mark, "login": mark, "password": mark, "schema": mark}
    if Sources.changed:
        fields = changed_value(dict(fields, conn_type=None))
        fields["conn_type"] = (Sources.connections.get(conn_id) or {}).get("conn_type") or "generic"
        if isinstance(fields.get("port"), str):
            fields.pop("port")
    try:
        from airflow.sdk import Connection
    except ImportError:
        from airflow.models import Connection
    extra = fields.get("extra")
    return Connection(
        conn_id=conn_id,
        conn_type=fields.get("conn_type") or "generic",
        host=fields.get("host"),
        login=fields.get("login"),
        password=fields.get("password"),
        schema=fields.get("schema"),
        port=int(fields["port"]) if fields.get("port") else None,
        extra=json.dumps(extra) if isinstance(extra, (dict, list)) else extra,
    )


def install_sources():
    def sdk_get(cls, key, default=NOTHING, deserialize_json=False, default_var=NOTHING):
        return variable_get(key, default if default is not NOTHING else default_var, deserialize_json)

    def model_get(cls, key, default_var=NOTHING, deserialize_json=False, **kwargs):
        return variable_get(key, kwargs.get("default", default_var), deserialize_json)

    def setdefault(cls, key, default, description=None, deserialize_json=False):
        return variable_get(key, default, deserialize_json)

    def hook_connection(cls, conn_id, *args, **kwargs):
        return connection_get(conn_id)

    try:
        from airflow.sdk import BaseHook, Connection, Variable

        Variable.get = classmethod(sdk_get)
        BaseHook.get_connection = classmethod(hook_connection)
        Connection.get = classmethod(hook_connection)
    except ImportError:
        pass
    try:
        from airflow.models.variable import Variable as OldVariable

        OldVariable.get = classmethod(model_get)
        OldVariable.setdefault = classmethod(setdefault)
    except Exception:
        pass
    try:
        from airflow.models.connection import Connection as OldConnection

        OldConnection.get_connection_from_secrets = classmethod(hook_connection)
    except Exception:
        pass
    try:
        from airflow.hooks.base import BaseHook as OldHook

        OldHook.get_connection = classmethod(hook_connection)
    except Exception:
        pass


class SpyingEnviron(type(os.environ)):
    def __getitem__(self, key):
        site = user_site(only_near=True)
        if site[0]:
            note_read(Reads.environment, key)
            if Sources.changed and key in Sources.environment:
                return changed_text(super().__getitem__(key))
        return super().__getitem__(key)


def default_environment(request):
    """`os.environ.get(name, default)` of a name that is not set cannot be changed: the default is the file's own."""
    os.environ.__class__ = SpyingEnviron


# ---------------------------------------------------------------------------------------------------------------------
# Where something stands in the user's files

ROOTS = []


def is_user_file(path):
    for root in ROOTS:
        if path == root or path.startswith(root + os.sep):
            return "site-packages" not in path[len(root) :]
    return False


def is_airflow_file(path):
    return path.startswith(os.path.dirname(sys.modules["airflow"].__file__) + os.sep)


def user_site(skip_self=None, only_near=False, past_airflow=True):
    """Find the innermost frame in the user's files.

    `only_near` looks past the standard library's `os` alone. Without `past_airflow` what Airflow does on its own, as
    when Airflow 2 dates each DAG it makes, is not the user's; its functions that tell the time are.
    """
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if is_user_file(path):
            if skip_self is None or frame.f_locals.get("self") is not skip_self:
                return (path, frame.f_lineno)
        elif not past_airflow and is_airflow_file(path) and os.path.basename(path) not in ("timezone.py", "dates.py"):
            return (None, None)
        elif (
            only_near
            and path != __file__
            and not path.endswith((os.sep + "os.py", "_collections_abc.py"))
            and not path.startswith("<frozen")
        ):
            return (None, None)
        frame = frame.f_back
    return (None, None)


SITES = {}
GIVEN = {}
KEEP = []


def is_same(one, other):
    return one is other or (type(one) is type(other) and isinstance(one, (int, str)) and one == other)


def install_recorders():
    """Remember where each task was made, and what each DAG was given."""
    base, _ = base_classes()
    original = base.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        SITES.setdefault(id(self), user_site(skip_self=self))
        KEEP.append(self)
        return original(self, *args, **kwargs)

    base.__init__ = init
    mapped = mapped_class()
    post = mapped.__attrs_post_init__

    def post_init(self):
        SITES.setdefault(id(self), user_site(skip_self=self))
        KEEP.append(self)
        return post(self)

    mapped.__attrs_post_init__ = post_init
    for dag_class in dag_classes():

        def wrap(original_init):
            @functools.wraps(original_init)
            def dag_init(self, *args, **kwargs):
                if id(self) not in GIVEN:
                    parameters = inspect.signature(original_init).parameters
                    given = dict(zip(list(parameters)[1:], args))
                    given.update(kwargs)
                    caller = sys._getframe(1).f_code.co_filename
                    if is_airflow_file(caller) and not is_user_file(caller):
                        # Airflow 2's @dag hands over every argument, given or not.
                        given = dict(
                            (name, value)
                            for name, value in given.items()
                            if name not in parameters or not is_same(value, parameters[name].default)
                        )
                    GIVEN[id(self)] = (sorted(given), user_site())
                    KEEP.append(self)
                return original_init(self, *args, **kwargs)

            return dag_init

        dag_class.__init__ = wrap(dag_class.__init__)
    for cls in (base, mapped):
        cls.resolve_template_files = lambda self: None


def base_classes():
    try:
        from airflow.sdk import BaseOperator, BaseSensorOperator
    except ImportError:
        from airflow.models.baseoperator import BaseOperator
        from airflow.sensors.base import BaseSensorOperator
    return BaseOperator, BaseSensorOperator


def base_parameters():
    """Name every argument some base class of operators takes."""
    names = set()
    for cls in base_classes():
        for ancestor in cls.__mro__:
            if "__init__" in vars(ancestor) and ancestor is not object:
                names.update(inspect.signature(ancestor.__init__).parameters)
    return sorted(names - set(("self", "args", "kwargs")))


def mapped_class():
    try:
        from airflow.sdk.definitions.mappedoperator import MappedOperator
    except ImportError:
        from airflow.models.mappedoperator import MappedOperator
    return MappedOperator


def dag_classes():
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow.models.dag import DAG
    return [DAG]


# ---------------------------------------------------------------------------------------------------------------------
# Values as JSON


def encode(value, depth=0):
    """Turn any value into JSON: plain ones as themselves, everything else as an object tagged with `$`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return encode(value.value, depth + 1)
    if isinstance(value, str):
        return str(value) if len(value) <= MAX_TEXT else {"$": "toolong", "length": len(value)}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else {"$": "float", "text": repr(value)}
    if depth > MAX_DEPTH:
        return {"$": "deep"}
    if isinstance(value, Anything):
        return {"$": "stub", "path": value._pgd_path}
    if isinstance(value, REAL_DATETIME):
        zone = getattr(value.tzinfo, "name", None) or getattr(value.tzinfo, "key", None)
        return {"$": "datetime", "iso": REAL_DATETIME.isoformat(value), "zone": zone}
    if isinstance(value, REAL_DATE):
        return {"$": "date", "iso": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"$": "timedelta", "seconds": value.total_seconds()}
    kind = type(value).__name__
    if hasattr(value, "iter_references") and kind.endswith("XComArg"):
        return encode_xcom(value, depth)
    if kind == "MappedArgument":
        return {"$": "mapped", "key": getattr(value, "_key", None)}
    if kind == "Param":
        return {
            "$": "param",
            "schema": encode(dict(value.schema), depth + 1),
            "value": encode(getattr(value, "value", None), depth + 1),
            "description": value.description,
        }
    if kind == "ParamsDict":
        return {"$": "dict", "items": [[key, encode(value.get_param(key), depth + 1)] for key in value]}
    if kind == "ArgNotSet" or repr_safely(value) in ("NOTSET", "<ArgNotSet>"):
        return {"$": "notset"}
    if kind in ("Asset", "Dataset", "AssetAlias", "DatasetAlias"):
        return {"$": "asset", "name": getattr(value, "name", None), "uri": getattr(value, "uri", None)}
    if isinstance(value, dict):
        if len(value) > MAX_ITEMS:
            return {"$": "toolong", "length": len(value)}
        return {
            "$": "dict",
            "items": [[encode(key, depth + 1), encode(inner, depth + 1)] for key, inner in value.items()],
        }
    if isinstance(value, (list, tuple)) and not hasattr(value, "_pgd_path"):
        if len(value) > MAX_ITEMS:
            return {"$": "toolong", "length": len(value)}
        items = [encode(inner, depth + 1) for inner in value]
        return items if isinstance(value, list) else {"$": "tuple", "items": items}
    if isinstance(value, (set, frozenset)):
        items = [encode(inner, depth + 1) for inner in value]
        return {"$": "set", "items": sorted(items, key=lambda item: json.dumps(item, sort_keys=True))}
    if isinstance(value, bytes):
        return {"$": "bytes", "base64": base64.b64encode(value).decode()}
    if isinstance(value, functools.partial):
        return {
            "$": "partial",
            "callable": callable_facts(value.func),
            "args": encode(list(value.args), depth + 1),
            "kwargs": encode(dict(value.keywords), depth + 1),
        }
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)) or (
        callable(value) and hasattr(value, "__wrapped__")
    ):
        return {"$": "callable", "callable": callable_facts(value)}
    if inspect.isclass(value):
        return {"$": "class", "name": "%s.%s" % (value.__module__, value.__qualname__)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind == "Decimal":
        return {"$": "decimal", "text": str(value)}
    if kind == "LiteralValue":
        return {"$": "literal", "value": encode(value.value, depth + 1)}
    return {
        "$": "object",
        "class": "%s.%s" % (type(value).__module__, type(value).__qualname__),
        "text": scrub(repr_safely(value)),
    }


def repr_safely(value):
    uses = len(Missing.taking_part)
    try:
        return repr(value)[:500]
    except Exception as error:
        return "<repr failed: %s>" % type(error).__name__
    finally:
        # A class of the file may print a stub; that we asked it to shapes nothing.
        del Missing.taking_part[uses:]


def scrub(text):
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def encode_xcom(value, depth):
    kind = type(value).__name__
    if kind == "PlainXComArg":
        return {"$": "xcom", "task": value.operator.task_id, "key": value.key}
    if kind == "MapXComArg":
        return {
            "$": "xcommap",
            "arg": encode(value.arg, depth + 1),
            "callables": [callable_facts(inner) if callable(inner) else None for inner in value.callables],
        }
    references = sorted(set((operator.task_id, key) for operator, key in value.iter_references()))
    return {"$": "xcomother", "kind": kind, "references": [list(pair) for pair in references]}


def callable_facts(function):
    """Everything that can be said of a callable without calling it."""
    original = function
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isfunction(function) and hasattr(function, "__wrapped__"):
        function = inspect.unwrap(function)
    if inspect.ismethod(function):
        bound = True
        function = function.__func__
    else:
        bound = False
    facts = {
        "module": getattr(function, "__module__", None),
        "qualname": getattr(function, "__qualname__", repr_safely(function)),
        "name": getattr(function, "__name__", type(original).__name__),
        "bound": bound,
    }
    code = getattr(function, "__code__", None)
    if code is None:
        facts.update(file=None, line=None, params=[], uses=[], source=None)
        return facts
    facts["file"] = code.co_filename
    facts["line"] = code.co_firstlineno
    facts["reachable"] = reachable(function)
    facts["column"] = None
    if hasattr(code, "co_positions") and facts["name"] == "<lambda>":
        columns = [
            position[2]
            for position in code.co_positions()
            if position[2] is not None and position[0] == code.co_firstlineno and position[3] != position[2]
        ]
        facts["column"] = min(columns) if columns else None
    facts["is_generator"] = inspect.isgeneratorfunction(function)
    facts["is_async"] = inspect.iscoroutinefunction(function)
    try:
        facts["source"] = inspect.getsource(function)
    except (OSError, TypeError, IndentationError):
        facts["source"] = None
    params = []
    for parameter in inspect.signature(function).parameters.values():
        has_default = parameter.default is not inspect.Parameter.empty
        params.append(
            {
                "name": parameter.name,
                "kind": parameter.kind.name,
                "has_default": has_default,
                "default": encode(parameter.default, MAX_DEPTH - 3) if has_default else None,
            }
        )
    facts["params"] = params
    facts["nonlocals"] = []
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        try:
            facts["nonlocals"].append([name, encode(cell.cell_contents, MAX_DEPTH - 3)])
        except ValueError:
            facts["nonlocals"].append([name, {"$": "unbound"}])
    facts["uses"] = uses_of(function)
    return facts


def reachable(function):
    """Say whether `module:qualname` leads back to this very function, once decorators are taken off."""
    found = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    for _ in range(20):
        if found is function:
            return True
        for wrapper in ("function", "__wrapped__", "python_callable", "__func__"):
            inner = getattr(found, wrapper, None)
            if callable(inner):
                found = inner
                break
        else:
            return False
    return False


def uses_of(function, seen=None, depth=0):
    """List the globals a callable reaches, through helpers in the user's own files: name, kind, module, class."""
    seen = set() if seen is None else seen
    uses = []
    code = function.__code__
    if code in seen or depth > 20:
        return uses
    seen.add(code)
    names = set()
    pending = [code]
    while pending:
        inner = pending.pop()
        names.update(inner.co_names)
        pending.extend(constant for constant in inner.co_consts if isinstance(constant, types.CodeType))
    namespace = function.__globals__
    cells = dict(zip(code.co_freevars, function.__closure__ or ()))
    found = [(name, namespace[name]) for name in sorted(names) if name in namespace]
    for name, cell in sorted(cells.items()):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:
            continue
    for name, value in found:
        target = inspect.unwrap(value) if inspect.isfunction(getattr(value, "__wrapped__", None)) else value
        target = getattr(target, "function", target) if "Decorator" in type(target).__name__ else target
        if inspect.ismodule(target):
            uses.append({"name": name, "kind": "module", "module": target.__name__, "file": module_file(target)})
        elif inspect.isfunction(target):
            path = target.__code__.co_filename
            uses.append({"name": name, "kind": "function", "module": target.__module__, "file": path})
            if is_user_file(path):
                uses.extend(uses_of(target, seen, depth + 1))
        elif inspect.isclass(target):
            uses.append(
                {
                    "name": name,
                    "kind": "class",
                    "module": target.__module__,
                    "file": module_file(sys.modules.get(target.__module__)),
                }
            )
        else:
            uses.append(
                {
                    "name": name,
                    "kind": "value",
                    "module": type(target).__module__,
                    "class": type(target).__name__,
                    "file": None,
                }
            )
    path = code.co_filename
    for name, line in inner_imports(function):
        uses.append({"name": name, "kind": "import", "module": name, "file": sibling_file(name, ROOTS), "line": line})
    return uses


def inner_imports(function):
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, node.lineno))
            found.extend(("%s.%s" % (node.module, alias.name), node.lineno) for alias in node.names)
    return found


def module_file(module):
    path = getattr(module, "__file__", None)
    return path if path and is_user_file(path) else None


# ---------------------------------------------------------------------------------------------------------------------
# A branch that looks at nothing but params: run it for every value they can take

PURE_NODES = (
    ast.Return,
    ast.If,
    ast.IfExp,
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.And,
    ast.Or,
    ast.Not,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.In,
    ast.NotIn,
    ast.Is,
    ast.IsNot,
    ast.Constant,
    ast.Subscript,
    ast.Name,
    ast.Load,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Expr,
    ast.Index if hasattr(ast, "Index") else ast.Load,
)


def branch_table(function, params):
    """Run a params-only function for every combination of its params' domains.

    It takes `params`, or the context as `**context` and reads `context["params"]` alone. Answers None where the
    function is not provably pure or a param's domain is open.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef) or [argument.arg for argument in tree.args.args] not in (["params"], []):
        return None
    if tree.args.vararg or tree.args.kwonlyargs or tree.args.defaults or getattr(tree.args, "posonlyargs", None):
        return None
    context = tree.args.kwarg.arg if tree.args.kwarg else None
    if not tree.args.args and context is None:
        return None
    read = set()
    nodes = [node for statement in tree.body for node in ast.walk(statement)]
    reads, names = 0, 0
    for node in nodes:
        if not isinstance(node, PURE_NODES):
            return None
        names += isinstance(node, ast.Name)
        if isinstance(node, ast.Subscript) and is_params(node.value, tree.args.args, context):
            key = constant_key(node)
            if not isinstance(key, str):
                return None
            read.add(key)
            reads += 1
    # Every name is the root of a read, and every other subscript is the `context["params"]` in one.
    inner = sum(isinstance(node, ast.Subscript) for node in nodes) - reads
    if names != reads or inner != (0 if tree.args.args else reads):
        return None
    domains = []
    for name in sorted(read):
        domain = domain_of(params, name)
        if domain is None:
            return {"open": name}
        domains.append((name, domain))
    rows = []
    names = [name for name, _ in domains]
    for values in itertools.islice(itertools.product(*[domain for _, domain in domains]), MAX_COMBINATIONS + 1):
        if len(rows) == MAX_COMBINATIONS:
            return None
        row = dict(zip(names, values))
        try:
            result = function(params=dict(row))
        except Exception as error:
            return {"raises": "%s: %s" % (type(error).__name__, error)}
        rows.append([encode(row), encode(result)])
    return {"rows": rows}


def constant_key(node):
    key = getattr(node.slice, "value", node.slice)
    return getattr(key, "value", key) if isinstance(key, ast.Constant) else key


def is_params(node, arguments, context):
    """Say whether this is the params: the argument of that name, or `context["params"]` where there is none."""
    if arguments:
        return isinstance(node, ast.Name) and node.id == "params"
    whole = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == context
    return whole and constant_key(node) == "params"


def domain_of(params, name):
    try:
        param = params.get_param(name)
    except Exception:
        return None
    schema = param.schema or {}
    if isinstance(schema.get("enum"), (list, tuple)):
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema.get("type") == "boolean":
        return [False, True]
    return None


# ---------------------------------------------------------------------------------------------------------------------
# DAGs and tasks as facts


def dag_facts(dag, request):
    given, site = GIVEN.get(id(dag), ([], (None, None)))
    timetable = dag.timetable
    facts = {
        "dag_id": dag.dag_id,
        "file": os.path.realpath(dag.fileloc),
        "line": site[1],
        "given": given,
        "fields": dict((name, encode(getattr(dag, name, None))) for name in DAG_FIELDS),
        "timezone": str(getattr(dag.timezone, "name", None) or dag.timezone),
        "start_date": encode(date_of(dag, "start_date")),
        "timetable": timetable_facts(timetable),
        "default_args": encode(dict(dag.default_args or {})),
        "params": encode(dag.params),
        "tags": sorted(str(tag) for tag in (dag.tags or [])),
        "searchpath": [os.fspath(dag.folder)] + [os.fspath(path) for path in listed(dag.template_searchpath)],
        "callbacks": dict(
            (name, callbacks(getattr(dag, "on_%s_callback" % name, None))) for name in ("failure", "success")
        ),
        "macros": sorted((dag.user_defined_macros or {}).keys()),
        "filters": sorted((dag.user_defined_filters or {}).keys()),
        "groups": groups_of(dag.task_group),
        "undefined": getattr(dag.template_undefined, "__name__", None),
    }
    facts["fields"]["end_date"] = encode(date_of(dag, "end_date"))
    facts["runs"] = next_runs(facts["timetable"], request["instant"], date_of(dag, "start_date"), dag.catchup)
    facts["tasks"] = [task_facts(dag, task, request) for task in in_order(dag)]
    return facts


def date_of(dag, name):
    """Read the DAG's start or end. Airflow 2 leaves what stands in default_args to the tasks, and goes by theirs."""
    found = getattr(dag, name, None)
    if found is None and (dag.default_args or {}).get(name) is not None:
        dates = [value for value in (getattr(task, name, None) for task in dag.task_dict.values()) if value is not None]
        if dates:
            found = min(dates) if name == "start_date" else max(dates)
    return found


def listed(value):
    if not value:
        return []
    return [value] if isinstance(value, (str, os.PathLike)) else list(value)


def in_order(dag):
    """Tasks in the order in which the file made them."""
    return list(dag.task_dict.values())


def timetable_facts(timetable):
    facts = {
        "class": type(timetable).__name__,
        "module": type(timetable).__module__,
        "text": scrub(repr_safely(timetable)),
    }
    for target, names in (
        ("cron", ("_expression", "expression")),
        ("zone", ("_timezone", "timezone")),
        ("delta", ("_delta", "delta")),
        ("interval", ("_interval", "interval")),
        ("run_immediately", ("_run_immediately", "run_immediately")),
    ):
        for name in names:
            value = getattr(timetable, name, None)
            if value is not None and not callable(value):
                facts[target] = str(getattr(value, "name", None) or value) if target == "zone" else encode(value)
                break
    return facts


def next_runs(facts, instant, start, catchup):
    """Say when a cron schedule fires next after `instant`, and how many slots lie between its start and now.

    Wall-clock arithmetic in the schedule's own zone; good enough to show, decides nothing.
    """
    cron, zone = facts.get("cron"), facts.get("zone")
    if not isinstance(cron, str):
        return None
    try:
        import pendulum
        from croniter import croniter

        here = pendulum.from_timestamp(instant, tz=zone).naive()
        following = croniter(cron, here).get_next(REAL_DATETIME)
        past = 0
        if catchup and start is not None:
            walk = croniter(cron, pendulum.instance(start).in_timezone(zone).naive() - datetime.timedelta(seconds=1))
            while past < 10000 and walk.get_next(REAL_DATETIME) <= here:
                past += 1
        return {"next": following.strftime("%a %d %b %H:%M"), "past": past}
    except Exception:
        return None


def callbacks(value):
    if not value:
        return []
    items = value if isinstance(value, (list, tuple)) else [value]
    return [encode(item) for item in items]


def groups_of(group):
    found = []
    for child in group.children.values():
        if hasattr(child, "children"):
            found.append(
                {
                    "id": child.group_id,
                    "doc": getattr(child, "tooltip", None) or None,
                    "mapped": type(child).__name__ == "MappedTaskGroup",
                }
            )
            found.extend(groups_of(child))
    return found


def class_facts(cls):
    """The class and its ancestors up to BaseOperator, each with what of execution it defines itself."""
    base, _ = base_classes()
    chain = []
    for ancestor in cls.__mro__:
        if ancestor is base:
            chain.append({"name": "%s.%s" % (ancestor.__module__, ancestor.__qualname__), "own": [], "mine": False})
            break
        if ancestor is object:
            break
        path = getattr(sys.modules.get(ancestor.__module__), "__file__", None) or ""
        chain.append(
            {
                "name": "%s.%s" % (ancestor.__module__, ancestor.__qualname__),
                "own": [name for name in EXECUTION if name in vars(ancestor)],
                "defaults": sorted(
                    name
                    for name, value in vars(ancestor).items()
                    if not name.startswith("_")
                    and not callable(value)
                    and not isinstance(value, (property, classmethod, staticmethod))
                    and name
                    not in (
                        "ui_color",
                        "ui_fgcolor",
                        "custom_operator_name",
                        "template_fields_renderers",
                        "operator_extra_links",
                    )
                ),
                "methods": sorted(
                    name
                    for name, value in vars(ancestor).items()
                    if inspect.isfunction(value) and not name.startswith("__")
                ),
                "mine": is_user_file(path),
            }
        )
    return chain


def task_facts(dag, task, request):
    mapped = type(task).__name__ in ("MappedOperator", "DecoratedMappedOperator")
    cls = task.operator_class if mapped else type(task)
    site = SITES.get(id(task), (None, None))
    facts = {
        "task_id": task.task_id,
        "file": site[0],
        "line": site[1],
        "mapped": mapped,
        "classes": class_facts(cls),
        "operator_name": getattr(task, "_operator_name", None) or getattr(task, "custom_operator_name", None),
        "stub": bool(getattr(cls, "_pgd_stub", False)),
        "upstream": sorted(task.upstream_task_ids),
        "template_fields": list(getattr(task, "template_fields", ()) or ()),
        "template_ext": list(getattr(task, "template_ext", ()) or ()),
        "mapped_group": task.get_closest_mapped_task_group() is not None
        if hasattr(task, "get_closest_mapped_task_group")
        else False,
        "fields": {},
        "hooks": {},
        "files": {},
    }
    for name in TASK_FIELDS:
        try:
            facts["fields"][name] = encode(getattr(task, name, None))
        except Exception as error:
            facts["fields"][name] = {"$": "error", "text": "%s: %s" % (type(error).__name__, error)}
    for name in ("failure", "success", "retry", "execute", "skipped"):
        found = callbacks(getattr(task, "on_%s_callback" % name, None))
        if found:
            facts["hooks"]["on_%s_callback" % name] = found
    if mapped:
        given = dict(task.partial_kwargs)
        # Airflow merges default_args into the rest only when it makes the real operator of a map index.
        shared = dict(dag.default_args or {})
        shared.update(given.get("default_args") or {})
        for name in accepted(cls):
            if name in shared and name not in given and name not in task.expand_input.value:
                given[name] = shared[name]
        source = task.op_kwargs_expand_input if hasattr(task, "op_kwargs_expand_input") else task.expand_input
        facts["expand"] = {"kind": type(source).__name__, "value": encode(source.value)}
        facts["attributes"] = {}
        function = given.get("python_callable") or getattr(task, "python_callable", None)
    else:
        given = dict(getattr(task, "_BaseOperator__init_kwargs", {}))
        facts["attributes"] = dict(
            (name, encode(getattr(task, name)))
            for name in OPERATOR_ATTRIBUTES
            if name in vars(task) or (hasattr(cls, name) and not callable(getattr(cls, name)))
        )
        for name in facts["template_fields"]:
            if name not in facts["attributes"] and hasattr(task, name):
                facts["attributes"][name] = encode(getattr(task, name))
        function = given.get("python_callable")
        for name in ("_pre_execute_hook", "_post_execute_hook"):
            if getattr(task, name, None) is not None:
                facts["hooks"][name] = [encode(getattr(task, name))]
    skip = ("dag", "task_group", "default_args")
    facts["given"] = dict((name, encode(value)) for name, value in given.items() if name not in skip)
    facts["files"] = template_files(dag, task, given)
    if inspect.isfunction(function):
        facts["callable"] = callable_facts(function)
        facts["table"] = branch_table(function, task.params if hasattr(task.params, "get_param") else dag.params)
    elif function is not None:
        facts["callable"] = callable_facts(function) if callable(function) else None
    if request.get("render"):
        facts["rendered"] = [render(dag, task, instant) for instant in request["render"]]
    return facts


def accepted(cls):
    """Name the arguments the constructors of a class take."""
    names = set()
    for ancestor in cls.__mro__:
        if "__init__" in vars(ancestor) and ancestor is not object:
            names.update(inspect.signature(ancestor.__init__).parameters)
    return sorted(names)


def template_files(dag, task, given):
    """Read the template files a task names: Airflow puts the content where the name stood."""
    found = {}
    extensions = tuple(getattr(task, "template_ext", ()) or ())
    if not extensions:
        return found
    for field in getattr(task, "template_fields", ()) or ():
        value = given.get(field, getattr(task, field, None))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and item.endswith(extensions):
                try:
                    env = dag.get_template_env()
                    text, path, _ = env.loader.get_source(env, item)
                    found[item] = {"text": text, "path": os.path.realpath(path)}
                except Exception as error:
                    found[item] = {"error": "%s: %s" % (type(error).__name__, error)}
    return found


def render(dag, task, instant):
    """Render the template fields as Airflow's task runner would on a logical date (UTC seconds)."""
    import pendulum

    date = pendulum.from_timestamp(instant, tz="UTC")
    ds = date.strftime("%Y-%m-%d")
    ts = date.isoformat()
    context = {
        "dag": dag,
        "task": task,
        "logical_date": date,
        "data_interval_start": date,
        "data_interval_end": date,
        "ds": ds,
        "ds_nodash": ds.replace("-", ""),
        "ts": ts,
        "ts_nodash": date.strftime("%Y%m%dT%H%M%S"),
        "ts_nodash_with_tz": ts.replace("-", "").replace(":", ""),
        "run_id": "scheduled__" + ts,
        "params": dict((key, task.params[key] if key in task.params else dag.params[key]) for key in dag.params),
        "execution_date": date,
    }
    try:
        from airflow.sdk.execution_time import macros
    except ImportError:
        from airflow import macros
    context["macros"] = macros
    answers = {}
    env = dag.get_template_env()
    for field in task.template_fields:
        value = task.partial_kwargs.get(field) if hasattr(task, "partial_kwargs") else getattr(task, field, None)
        try:
            answers[field] = encode(base_render(task, value, context, env))
        except Exception as error:
            answers[field] = {"$": "error", "text": "%s: %s" % (type(error).__name__, error)}
    return answers


def base_render(task, value, context, env):
    if isinstance(value, str):
        extensions = tuple(getattr(task, "template_ext", ()) or ())
        template = env.get_template(value) if extensions and value.endswith(extensions) else env.from_string(value)
        return template.render(context)
    if isinstance(value, (list, tuple)):
        return [base_render(task, inner, context, env) for inner in value]
    if isinstance(value, dict):
        return dict((key, base_render(task, inner, context, env)) for key, inner in value.items())
    return value


# ---------------------------------------------------------------------------------------------------------------------
# One file, in a fork of its own


def read_file(job, request):
    """Execute one DAG file and describe the DAGs in it. Runs in the fork."""
    path = job["path"]
    ROOTS[:] = [os.path.realpath(root) for root in job["roots"]]
    for root in reversed(job["roots"]):
        if root not in sys.path:
            sys.path.insert(0, root)
    # Airflow's own library is no stranger to stand in for: without it the file is written for another Airflow.
    names = set(name for name in missing_modules(path, ROOTS) if not is_within(name, "airflow.sdk"))
    if request["airflow_major"] >= 3:
        names = set(name for name in names if name not in LegacyFinder.modules)
    sys.meta_path.append(StubFinder(names))
    install_sources()
    install_recorders()
    default_environment(request)
    random.seed(job["pass"])
    freeze_clock(job["instant"])
    Sources.variables = request["variables"]
    Sources.connections = request["connections"]
    Sources.changed = bool(job["pass"])
    Sources.environment = dict(os.environ)
    before = set(sys.modules)
    bag = open_bag(path, job["roots"][0])
    errors = [error_facts(where, text, path) for where, text in sorted(bag.import_errors.items())]
    for error in errors:
        if request["airflow_major"] < 3 and "No module named 'airflow.sdk" in error["message"]:
            words = "the file is written for Airflow 3, and this is Airflow %s" % sys.modules["airflow"].__version__
            error["message"] += "; " + words
    dags = []
    for dag in all_dags(bag):
        try:
            dags.append(dag_facts(dag, request))
        except Exception:
            errors.append(error_facts(path, traceback.format_exc(), path))
    siblings = {}
    for name, module in sorted(sys.modules.items()):
        location = getattr(module, "__file__", None)
        if location and name not in before and is_user_file(os.path.realpath(location)):
            siblings[name] = os.path.realpath(location)
    return {
        "path": path,
        "dags": dags,
        "errors": errors,
        "modules": siblings,
        "stubs": dict((name, sorted(names)) for name, names in sorted(Missing.modules.items())),
        "stub_uses": Missing.taking_part,
        "legacy": dict(sorted(USED_LEGACY.items())),
        "clock": sorted([list(site) for site in Clock.reads], key=str),
        "variables": Reads.variables,
        "connections": Reads.connections,
        "environment": Reads.environment,
        "missing_variables": sorted(Reads.missing_variables),
        "missing_connections": sorted(Reads.missing_connections),
    }


def all_dags(bag):
    """List the DAGs of a file in the order of its lines, with those that Airflow dropped for another of their id.

    Airflow keeps one of them: the last one bagged, in the order of a set, or for equal task ids the first one met.
    """
    made = [each for each in KEEP if id(each) in GIVEN and each.dag_id in bag.dags]
    found = [dag for dag in made if dag is bag.dags[dag.dag_id] or dag.task_dict]
    for dag in found:
        dag.fileloc = bag.dags[dag.dag_id].fileloc
    found += [dag for dag in bag.dags.values() if id(dag) not in GIVEN]
    return sorted(found, key=lambda dag: (GIVEN.get(id(dag), ([], (None, 0)))[1][1] or 0, dag.dag_id))


def open_bag(path, root):
    try:
        from airflow.dag_processing.dagbag import BundleDagBag
    except ImportError:
        BundleDagBag = None
    if BundleDagBag is not None:
        from pathlib import Path

        return BundleDagBag(path, bundle_path=Path(root), safe_mode=False, bundle_name="pgdurable")
    from airflow.models.dagbag import DagBag

    return DagBag(path, include_examples=False, safe_mode=False, read_dags_from_db=False)


def error_facts(where, text, path):
    """Find the user's line in a traceback, and the sentence at its end."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    number = None
    file = path
    for match in re.finditer(r'File "([^"]+)", line ([0-9]+)', text):
        if is_user_file(os.path.realpath(match.group(1))):
            file, number = os.path.realpath(match.group(1)), int(match.group(2))
    named = [line for line in lines if re.match(r"^[A-Za-z_][A-Za-z0-9_.]*(:|$)", line)]
    message = (named or lines or ["no message"])[-1].strip()
    rest = lines[len(lines) - lines[::-1].index(named[-1]) :] if named else []
    if message.endswith(":") and rest:
        message = "%s %s" % (message, rest[0].strip())
    if "Anything" in message and Missing.modules:
        roots = sorted(set(name.partition(".")[0] for name in Missing.modules))
        message += "; it is a value from a module that is not installed (%s)" % ", ".join(roots)
    return {"file": file, "line": number, "message": message[:2000]}


def memory(pid, field):
    """Say how many bytes a process has: 0 its address space, 1 what is resident; 0 where the system does not tell."""
    try:
        with open("/proc/%d/statm" % pid, "rb") as stream:
            return int(stream.read().split()[field]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _die_with_parent():
    # type: () -> None
    """End when the process that reads for us is gone; on Linux the kernel sees to it."""
    if sys.platform.startswith("linux"):
        try:
            import ctypes

            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        except (ImportError, OSError, AttributeError):
            pass


def in_fork(job, request):
    """Run `read_file` in a fork with its own process group and limits; always answers."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            os.close(read_end)
            os.setsid()
            _die_with_parent()
            # Address space beyond what Airflow has taken already; the parent watches what is really used.
            limit = memory(os.getpid(), 0) + request["memory_limit"] * 1024 * 1024
            # A log record of a failed import may print the file's locals, which can be anything.
            logging.disable(logging.CRITICAL)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            seconds = int(request["time_limit"]) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                answer = read_file(job, request)
            except MemoryError:
                answer = {"path": job["path"], "died": "memory"}
            except BaseException as error:
                text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
                answer = {"path": job["path"], "dags": [], "errors": [error_facts(job["path"], text, job["path"])]}
            data = json.dumps(answer).encode()
            view = memoryview(data)
            while view:
                view = view[os.write(write_end, view) :]
        except BaseException:
            code = 70
        finally:
            os._exit(code)
    os.close(write_end)
    chunks = []
    deadline = time.monotonic() + request["time_limit"]
    died = None
    status = None
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            died = "time"
            break
        if memory(pid, 1) > request["memory_limit"] * 1024 * 1024:
            died = "memory"
            break
        ready, _, _ = select.select([read_end], [], [], min(left, 0.05))
        if ready:
            chunk = os.read(read_end, 1 << 20)
            if not chunk:
                break
            chunks.append(chunk)
        elif status is None:
            done, waited = os.waitpid(pid, os.WNOHANG)
            if done:
                status = waited
        else:
            break
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    os.close(read_end)
    if status is None:
        _, status = os.waitpid(pid, 0)
    try:
        answer = json.loads(b"".join(chunks).decode())
    except ValueError:
        if died is None and os.WIFSIGNALED(status):
            died = "time" if os.WTERMSIG(status) == signal.SIGXCPU else "signal %d" % os.WTERMSIG(status)
        elif died is None:
            died = "exit %d" % os.WEXITSTATUS(status)
        answer = {"path": job["path"], "died": died}
    answer["pass"] = job["pass"]
    return answer


def main():
    request = json.load(sys.stdin)
    channel = os.fdopen(os.dup(request["fd"]), "w")
    os.close(request["fd"])
    sink = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def answer(value):
        channel.write(json.dumps(value) + "\n")
        channel.flush()

    # An adapter of this project lies beside this file; its folders must not shadow the user's modules.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != here]
    try:
        import airflow
        from airflow.configuration import conf
    except BaseException as error:
        answer(
            {
                "kind": "no_airflow",
                "message": "%s: %s" % (type(error).__name__, error),
                "python": sys.version.split()[0],
            }
        )
        return
    major = int(airflow.__version__.split(".")[0])
    request["airflow_major"] = major
    try:
        open_modules(major)
    except BaseException:
        answer({"kind": "no_airflow", "message": traceback.format_exc()[-2000:], "python": sys.version.split()[0]})
        return

    def option(section, key, default):
        try:
            return conf.getboolean(section, key) if isinstance(default, bool) else conf.get(section, key)
        except Exception:
            return default

    answer(
        {
            "kind": "ready",
            "airflow": airflow.__version__,
            "python": sys.version.split()[0],
            "base_parameters": base_parameters(),
            "config": {
                "create_cron_data_intervals": option("scheduler", "create_cron_data_intervals", major < 3),
                "catchup_by_default": option("scheduler", "catchup_by_default", major < 3),
                "default_timezone": option("core", "default_timezone", "utc"),
                "max_active_tasks_per_dag": option("core", "max_active_tasks_per_dag", "16"),
                "max_active_runs_per_dag": option("core", "max_active_runs_per_dag", "16"),
            },
        }
    )
    for job in request["jobs"]:
        for number in (0, 1) if request.get("twice", True) else (0,):
            run = dict(job)
            run["pass"] = number
            # Two days and an hour and a bit later: what was made from the clock differs in date, hour and weekday.
            run["instant"] = request["instant"] + (2 * 86400 + 3725 if number else 0)
            found = in_fork(run, request)
            found["kind"] = "file"
            answer(found)
            if found.get("died"):
                break
    answer({"kind": "end"})


def open_modules(major):
    """Import once what every file needs, so that each fork starts with it."""
    if major >= 3:
        import airflow.dag_processing.dagbag
        import airflow.sdk

        install_legacy()
        holder, names = (
            airflow.sdk,
            [
                "DAG",
                "BaseHook",
                "BaseOperator",
                "BaseSensorOperator",
                "Connection",
                "Label",
                "Param",
                "TaskGroup",
                "Variable",
                "chain",
                "cross_downstream",
                "dag",
                "get_current_context",
                "setup",
                "task",
                "task_group",
                "teardown",
            ],
        )
        modules = []
    else:
        import airflow.decorators
        import airflow.models.dagbag

        holder, names = airflow.decorators, ["task"]
        modules = [
            "airflow.operators.python",
            "airflow.operators.bash",
            "airflow.operators.empty",
            "airflow.utils.dates",
        ]
    for name in modules + [
        "airflow.models.variable",
        "airflow.models.connection",
        "airflow.providers.common.sql.operators.sql",
        "airflow.providers.standard.operators.python",
        "airflow.providers.standard.operators.bash",
        "airflow.providers.standard.operators.empty",
    ]:
        try:
            importlib.import_module(name)
        except Exception:
            continue
    for name in names:
        try:
            getattr(holder, name)
        except Exception:
            continue
    for name in ("python", "branch", "bash"):
        try:
            getattr(holder.task, name)
        except Exception:
            continue


if __name__ == "__main__":
    main()
