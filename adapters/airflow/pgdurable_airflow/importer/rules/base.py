"""What every operator shares: BaseOperator's arguments, and what of them a step has a place for."""

from collections.abc import Mapping
from typing import Final

from pgdurable_airflow.importer.facts import Fact, callable_of, elements, is_absent, is_row, items, seconds, tag
from pgdurable_airflow.importer.task import Task

# No effect on a run of ours: identity, documentation, wiring that is read elsewhere, and Airflow's own display.
_WITHOUT_EFFECT: Final = (
    "task_id",
    "owner",
    "params",
    "doc",
    "doc_md",
    "doc_json",
    "doc_yaml",
    "doc_rst",
    "trigger_rule",
    "retries",
    "retry_delay",
    "execution_timeout",
    "on_failure_fail_dagrun",
    "task_display_name",
    "logger_name",
    "ignore_first_depends_on_past",
    "ui_color",
    "ui_fgcolor",
    "show_return_value_in_logs",
    "allow_nested_operators",
    "task_group",
    "dag",
    "default_args",
    "start_from_trigger",
    "start_trigger_args",
    "render_template_as_native_obj",
    "multiple_outputs",
    "do_xcom_push",
    "provide_context",
)

_DEFAULT_POOL: Final = "default_pool"

_CALLBACKS: Final = (
    "on_failure_callback",
    "on_success_callback",
    "on_retry_callback",
    "on_execute_callback",
    "on_skipped_callback",
)

# Functions called around a task, each with a finding of its own.
AROUND_A_TASK: Final = frozenset({*_CALLBACKS, "pre_execute", "post_execute", "run_if", "skip_if"})

# What works while callbacks are not called.
INSTEAD_OF_CALLBACKS: Final = (
    "Do it in a task of its own (trigger_rule one_failed runs after a failure), or watch `pgdurable status`, which "
    "ends with 1 while anything is failed."
)


def take_base_arguments(task: Task) -> None:
    """Take BaseOperator's arguments, with a finding for each that has an effect and no place."""
    task.ignore(*_WITHOUT_EFFECT)
    _retries(task)
    _dependencies(task)
    _routing(task)
    _mail(task)
    _callbacks(task)
    _assets(task)
    _dates(task)


def _value(task: Task, name: str) -> Fact:
    task.ignore(name)
    value = task.facts.fields.get(name, task.facts.given.get(name))
    return None if is_absent(value) else value


def _retries(task: Task) -> None:
    backoff = _value(task, "retry_exponential_backoff")
    _value(task, "max_retry_delay")
    retries = task.facts.fields.get("retries")
    if backoff and isinstance(retries, int) and retries > 0:
        task.find(
            "AF021",
            "retry_exponential_backoff: every delay is retry_delay",
            "The task waits longer before every retry (retry_exponential_backoff).",
            "Here every retry waits retry_delay.",
            "Choose a retry_delay that fits the whole series.",
        )
    if task.take_given("retry_policy") is not None:
        task.find(
            "AF022",
            "retry_policy",
            "A retry policy decides by the exception whether the task tries again.",
            "It is not carried over.",
            "Decide inside the callable.",
        )


def _dependencies(task: Task) -> None:
    if _value(task, "depends_on_past"):
        task.find(
            "AF022",
            "depends_on_past",
            "The task waits for itself in the previous run (depends_on_past).",
            "This version would run it without waiting.",
            "Take it out, and start runs one by one: `pgdurable start NAME --wait` ends with 1 when one fails.",
        )
    if _value(task, "wait_for_downstream"):
        task.find(
            "AF022",
            "wait_for_downstream",
            "The task waits for its followers in the previous run.",
            "This version would run it without waiting.",
            "Take it out, and start runs one by one: `pgdurable start NAME --wait` ends with 1 when one fails.",
        )
    if _value(task, "is_setup") or _value(task, "is_teardown"):
        kind = "setup" if task.facts.fields.get("is_setup") else "teardown"
        task.find(
            "AF305",
            f"{kind} task",
            f"The task is a {kind}.",
            "This version has no setup and teardown.",
            "Say with trigger rules what must happen when the tasks between fail.",
        )
    for name in ("max_active_tis_per_dag", "max_active_tis_per_dagrun"):
        if _value(task, name) is not None:
            task.find(
                "AF021",
                name,
                f"{name} limits how often the task runs at once.",
                "The limit is not carried over.",
                "See to it that copies at once do no harm, or run the worker with fewer sessions: --sql, --python.",
            )
    if task.take_given("wait_for_past_depends_before_skipping"):
        task.find(
            "AF021",
            "wait_for_past_depends_before_skipping",
            "The task waits before it is skipped.",
            "It is skipped at once.",
        )


def _routing(task: Task) -> None:
    pool = _value(task, "pool")
    pool_slots = _value(task, "pool_slots")
    if isinstance(pool, str) and pool != _DEFAULT_POOL:
        task.find(
            "AF022",
            f"pool {pool}",
            f"The task waits for a slot of the pool `{pool}`, which limits how many tasks run at once.",
            "This version has no pools: the limit would be gone.",
            "Take `pool` out if the limit does not matter. If it does, take it out all the same and run one worker "
            "with as many sessions as the pool has slots (`pgdurable worker --sql N --python M`), which "
            "limits every step.",
        )
    elif isinstance(pool_slots, int) and pool_slots != 1:
        task.find(
            "AF021",
            f"pool_slots {pool_slots}",
            f"The task takes {pool_slots} slots of the default pool.",
            "Here it takes one session of a worker, as every step does.",
            "Take pool_slots out, or run the worker with fewer sessions: --sql, --python.",
        )
    priority = _value(task, "priority_weight")
    weight_rule = _value(task, "weight_rule")
    # Airflow 2 holds the rule as an object of its own.
    is_default = is_absent(weight_rule) or "downstream" in str(weight_rule).lower()
    if priority not in (None, 1) or (not is_default and "weight_rule" in task.facts.given):
        task.find(
            "AF021",
            "priority",
            "The task has a priority among those waiting (priority_weight, weight_rule).",
            "Here the order is that in which steps became ready.",
        )
    for name, quiet in (
        ("queue", ("default", None)), ("executor", (None,)), ("executor_config", (None,)), ("run_as_user", (None,)),
        ("resources", (None,)), ("map_index_template", (None,)), ("cwd_template", (None,)),
    ):  # fmt: skip
        value = task.facts.given.get(name)
        task.ignore(name)
        if is_absent(value) or value in quiet or (tag(value) == "dict" and not items(value)):
            continue
        task.find(
            "AF021",
            name,
            f"`{name}` says where or as whom the task runs.",
            "It is not carried over.",
            "Choose where workers run, and their user, where they are started.",
        )


def _mail(task: Task) -> None:
    task.ignore("email", "email_on_failure", "email_on_retry", "sla")
    fields = task.facts.fields
    wanted = [name for name in ("email_on_failure", "email_on_retry") if fields.get(name)]
    if not is_absent(fields.get("email")) and fields.get("email") and wanted:
        task.find(
            "AF021",
            "mail on failure",
            "Airflow mails somebody when the task fails or is tried again.",
            "Nobody is mailed.",
            "Watch `pgdurable status`, which ends with 1 while anything is failed.",
        )
    if not is_absent(task.facts.given.get("sla")):
        task.find(
            "AF021",
            "sla",
            "The task has an SLA.",
            "Nobody is told when it is missed.",
            "Give it an execution_timeout, which fails it.",
        )


def _callbacks(task: Task) -> None:
    task.ignore(*_CALLBACKS)
    for name, found in sorted(task.facts.hooks.items()):
        if name in ("_pre_execute_hook", "_post_execute_hook"):
            task.ignore("pre_execute", "post_execute", "run_if", "skip_if")
            task.find(
                "AF022",
                name.strip("_").removesuffix("_hook"),
                f"A function runs around the task ({name.strip('_')}); it can skip or fail it.",
                "It would not be called.",
                "Call it in the task itself, or branch.",
            )
            continue
        names = [facts.name for fact in elements(found) if (facts := callable_of(fact)) is not None]
        task.find(
            "AF023",
            f"{name} {', '.join(names)}".strip(),
            f"The task calls {', '.join(names) or 'a callback'} ({name}).",
            "It would not be called.",
            INSTEAD_OF_CALLBACKS,
        )


def _assets(task: Task) -> None:
    task.ignore("inlets", "outlets")
    outlets = elements(task.facts.fields.get("outlets"))
    if outlets:
        names = [str(outlet.get("name") or outlet.get("uri")) for outlet in outlets if is_row(outlet)]
        task.find(
            "AF021",
            "outlets",
            f"The task tells Airflow that {', '.join(names)} changed; DAGs may wait for that.",
            "No event is sent.",
            "Start the consumers with `pgdurable start`, from cron or from a last task of this DAG.",
        )


def _dates(task: Task) -> None:
    task.ignore("start_date", "end_date")
    dag = task.around.dag
    for name, of_dag in (("start_date", dag.start_date), ("end_date", dag.fields.get("end_date"))):
        own = task.facts.fields.get(name)
        if not is_row(own) or is_absent(own):
            continue
        if is_row(of_dag) and own.get("iso") == of_dag.get("iso"):
            continue
        task.find(
            "AF021",
            f"{name} of the task",
            f"The task has a {name} of its own.",
            "It runs in every run of the workflow.",
        )


def refuse_binds(task: Task, bind: Mapping[str, str]) -> None:
    """Refuse a step of a worker whose texts need more than the context's own names: the engine binds in SQL alone."""
    if not bind:
        return
    name, sql = next(iter(bind.items()))
    raise task.refuse(
        "AF155",
        f"{name} is computed, for a worker",
        f"A text of the task needs {name}, which is {sql}.",
        "Use ds, ts, run_id and the like alone, and compute the rest in the command or the function; or get it from a "
        "SQL task before it.",
    )


def timeout_seconds(task: Task) -> float | None:
    """Read execution_timeout."""
    return seconds(task.facts.fields.get("execution_timeout"))
