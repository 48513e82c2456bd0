"""Drafts to a graph: keys, edges, rules, retries, defaults, groups."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, cast

from pgdurable_airflow.importer.facts import DagFacts, Fact, TaskFacts, is_absent, seconds
from pgdurable_airflow.importer.results import reference_name
from pgdurable_airflow.importer.schedule import Schedule
from pgdurable_airflow.importer.task import Draft, Surroundings, Task, source_line
from pgdurable_core.graph.duration import format_duration
from pgdurable_core.graph.model import (
    TRIGGER_RULES,
    Check,
    Defaults,
    Graph,
    Group,
    JsonValue,
    Python,
    Run,
    Sql,
    Step,
    TriggerRule,
)

_ALIASES: Final[dict[str, TriggerRule]] = {
    "dummy": "always",
    "none_failed_or_skipped": "none_failed_min_one_success",
}
# core.max_active_tasks_per_dag and max_active_runs_per_dag are written only where the DAG states them (AF027, AF028).


def safe_name(name: str) -> str:
    """Turn any text into a key or file name: what is not [A-Za-z0-9_.-] becomes an underscore."""
    text = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:250]
    return text if text.strip(".") else f"_{text}".replace("..", "_")


def workflow_name(dag_id: str) -> str:
    """Turn a DAG id into a name whose longest file name (`.graph.json`) still fits into 255 bytes."""
    return safe_name(dag_id)[:240]


def trigger_rule(facts: TaskFacts) -> TriggerRule:
    """Read a task's rule, with Airflow 2's old words."""
    word = str(facts.fields.get("trigger_rule") or "all_success")
    word = _ALIASES.get(word, word)
    return next((rule for rule in TRIGGER_RULES if rule == word), "all_success")


def task_retries(facts: TaskFacts) -> int:
    """Read how often a task is tried again."""
    value = facts.fields.get("retries")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def in_source_order(dag: DagFacts) -> list[TaskFacts]:
    """Order tasks as a reader of the file meets them; those made by one line keep the order in which it made them."""

    def place(pair: tuple[int, TaskFacts]) -> tuple[bool, int, int]:
        number, facts = pair
        decorated = facts.callable is not None and any("Decorated" in each.name for each in facts.classes[:1])
        line = source_line(facts)
        file = facts.callable.file if decorated and facts.callable is not None else facts.file
        return (file != dag.file, line or 0, number)

    return [facts for _, facts in sorted(enumerate(dag.tasks), key=place)]


def build_graph(
    dag: DagFacts,
    drafts: Mapping[str, tuple[Task, Draft | None]],
    schedule: Schedule,
    around: Surroundings,
    modules: Mapping[str, str],
    callbacks: Mapping[str, Run],
) -> Graph:
    """Put drafts together; a task without one becomes a step that fails with its reason."""
    keys = {facts.task_id: safe_name(facts.task_id) for facts in dag.tasks}
    referenced = {name for _, draft in drafts.values() if draft is not None for name in draft.references}
    steps = [
        _step(drafts[facts.task_id][0], drafts[facts.task_id][1], keys, facts.task_id in referenced, around)
        for facts in in_source_order(dag)
    ]
    defaults = _defaults(dag, steps)
    groups = [
        Group(safe_name(str(group["id"])), str(group["doc"]).strip() if group.get("doc") else None)
        for group in dag.groups
        if any(step.key.startswith(f"{safe_name(str(group['id']))}.") for step in steps)
    ]
    owner, doc = dag.fields.get("owner"), dag.fields.get("doc_md") or dag.fields.get("description")
    return Graph(
        name=workflow_name(dag.dag_id),
        steps=tuple(_unless_shared(step, defaults) for step in steps),
        schedule=schedule.cron,
        timezone=schedule.timezone,
        start_date=schedule.start_date,
        end_date=schedule.end_date,
        data_intervals=schedule.data_intervals,
        catchup=bool(dag.fields.get("catchup")) and schedule.cron is not None,
        max_active_runs=_given_number(dag, "max_active_runs"),
        max_active_tasks=_given_number(dag, "max_active_tasks"),
        params={name: _param(value) for name, value in dag.params.items()},
        defaults=defaults,
        modules=modules,
        on_failure=callbacks.get("failure"),
        on_success=callbacks.get("success"),
        owner=owner if isinstance(owner, str) and owner and owner != "airflow" else None,
        tags=dag.tags,
        groups=tuple({group.key: group for group in groups}.values()),
        doc=doc.strip() if isinstance(doc, str) and doc.strip() else None,
    )


def _step(task: Task, draft: Draft | None, keys: Mapping[str, str], is_referenced: bool, around: Surroundings) -> Step:
    facts = task.facts
    each = keys[draft.each] if draft is not None and draft.each is not None else None
    after = [key for key in _ordered_upstream(facts, keys, around.dag) if key != each]
    retries = task_retries(facts)
    delay = seconds(facts.fields.get("retry_delay"))
    timeout = seconds(facts.fields.get("execution_timeout"))
    key = keys[facts.task_id]
    name = reference_name(facts.task_id)
    return Step(
        key=key,
        run=_renamed(draft.run, keys) if draft is not None else blocked_run(task),
        after=tuple(after),
        rule=trigger_rule(facts),
        each=each,
        bind=dict(draft.bind) if draft is not None else {},
        retries=retries,
        retry_delay=_duration(delay) if retries and delay is not None else None,
        timeout=_duration(timeout) if timeout else None,
        run_as=draft.run_as if draft is not None else None,
        connection=draft.connection if draft is not None else None,
        statement_class=draft.statement_class if draft is not None else None,
        result_name=name if is_referenced and name != key else None,
        source=_source(task, draft, around),
        doc=_doc(facts),
    )


def blocked_run(task: Task) -> Sql:
    """Make the step of a blocked task: it fails, and says why."""
    finding = next(finding for finding in task.findings if finding.weight == "blocked")
    reason = f"{task.key} was not imported: {finding.code} {finding.short}".replace("'", "''").replace("$", "")
    return Sql(f"do $blocked$ begin raise exception using errcode = 'PD501', message = '{reason}'; end $blocked$")


def _ordered_upstream(facts: TaskFacts, keys: Mapping[str, str], dag: DagFacts) -> list[str]:
    order = {other.task_id: number for number, other in enumerate(in_source_order(dag))}
    return [keys[name] for name in sorted(facts.upstream, key=lambda name: order.get(name, 0)) if name in keys]


def _source(task: Task, draft: Draft | None, around: Surroundings) -> str | None:
    facts = task.facts
    decorated = facts.callable is not None and any("Decorated" in each.name for each in facts.classes[:1])
    file = facts.callable.file if decorated and facts.callable is not None else facts.file
    if file is None:
        return None
    places = [f"{around.shown(file)}:{task.source_line}" if task.source_line else around.shown(file)]
    places += [around.shown(path) for path in (draft.files if draft is not None else ())]
    return " ".join(places)


def _doc(facts: TaskFacts) -> str | None:
    """Keep what the author said about a task; @task copies the docstring of its function."""
    for name in ("doc_md", "doc"):
        text = facts.fields.get(name)
        if isinstance(text, str) and text.strip():
            return text.strip()
    return None


def _defaults(dag: DagFacts, steps: Sequence[Step]) -> Defaults:
    """State once what default_args state, and the connection that most SQL steps share.

    A step cannot take back a default timeout or connection, so those are shared only where every step has them.
    """
    retries = dag.default_args.get("retries")
    delay = seconds(dag.default_args.get("retry_delay"))
    named = [step.connection for step in steps if step.connection is not None]
    sql = [step for step in steps if isinstance(step.run, Sql | Check)]
    common = Counter(named).most_common(1)
    connection = common[0][0] if common and (len(named) == len(sql)) and common[0][1] > 1 else None
    timeouts = {step.timeout for step in steps}
    return Defaults(
        retries=retries if isinstance(retries, int) and not isinstance(retries, bool) and retries > 0 else None,
        retry_delay=_duration(delay) if delay is not None and any(step.retries for step in steps) else None,
        timeout=timeouts.pop() if len(timeouts) == 1 and len(steps) > 1 else None,
        connection=connection,
    )


def _unless_shared(step: Step, defaults: Defaults) -> Step:
    return replace(
        step,
        retries=None if step.retries == (defaults.retries or 0) else step.retries,
        timeout=None if step.timeout == defaults.timeout else step.timeout,
        connection=None if step.connection == defaults.connection else step.connection,
    )


def _duration(length: float) -> str:
    return format_duration(timedelta(seconds=length))


def _given_number(dag: DagFacts, name: str) -> int | None:
    old = {"max_active_tasks": "concurrency"}
    value = dag.fields.get(name)
    stated = name in dag.given or old.get(name) in dag.given
    return value if stated and isinstance(value, int) and value > 0 else None


def _param(fact: Fact) -> dict[str, JsonValue]:
    from pgdurable_airflow.importer.facts import OpaqueError, is_row, items, plain

    if not is_row(fact):
        return {"default": cast("JsonValue", fact)}
    try:
        schema = {name: plain(value) for name, value in items(fact.get("schema")).items()}
        default = fact.get("value")
        value = {} if is_absent(default) else {"default": plain(default)}
    except OpaqueError:
        return {}
    described = {"description": fact["description"]} if isinstance(fact.get("description"), str) else {}
    return cast("dict[str, JsonValue]", {**value, **schema, **described})


def _renamed(run: Run, keys: Mapping[str, str]) -> Run:
    """Replace task ids by keys in arguments; they differ only for ids that are no keys."""
    if not isinstance(run, Python) or all(name == key for name, key in keys.items()):
        return run

    def walk(value: JsonValue) -> JsonValue:
        if isinstance(value, Mapping):
            if set(value) == {"xcom"}:
                return {"xcom": keys.get(str(value["xcom"]), str(value["xcom"]))}
            return {name: walk(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return value

    return replace(run, args={name: walk(value) for name, value in run.args.items()})
