"""Hand a piece of work to the engine, and wait for it as an Airflow task does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from pgdurable_airflow.provider.attaching import (
    Awaited,
    How,
    Order,
    attach,
    continue_from_failure,
    was_ended_by_earlier_try,
)
from pgdurable_airflow.provider.compat import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    BaseOperator,
    conf,
)
from pgdurable_airflow.provider.hooks import PgDurableHook
from pgdurable_airflow.provider.identity import TaskRun, ends
from pgdurable_airflow.provider.outcome import failure_text, last_steps, value_of
from pgdurable_airflow.provider.triggers import PgDurableTrigger
from pgdurable_airflow.provider.waiting import Telling, wait_in_place
from pgdurable_core.engine import Client, InstanceRow, StepRow
from pgdurable_core.errors import (
    ConflictError,
    NotSupportedHereError,
    PgDurableError,
    UsageError,
)
from pgdurable_core.graph.model import JsonValue

INSTANCE_KEY: Final = "pgdurable_instance_id"

# A deferral costs Airflow about three seconds, so what is done by then is not worth one.
INLINE_SECONDS: Final = 2.0
_HOW: Final[Mapping[How, str]] = {
    "started": "instance %s of workflow %s started",
    "attached": "instance %s of workflow %s is under way already, and is waited for",
    "continued": "instance %s of workflow %s had not succeeded; it is continued from what failed",
    "ended": "instance %s of workflow %s had completed before; nothing is run again",
}


class PgDurableOperator(BaseOperator):
    """Run a workflow in PostgreSQL as one Airflow task.

    Exactly one of these says what runs:

    :param workflow: the name of a workflow that is deployed.
    :param graph: a graph document, as a mapping or as JSON (a name that ends with .json is read as a template file).
    :param sql: SQL text, or a list of texts that run one after another. Each text is a step: one transaction together
        with the record that it is done, so a retry goes on behind the last text that succeeded. For several
        statements in one transaction write one text.
    :param dsl: the operator text of pg_durable; this version refuses it.

    `graph` and `sql` define a workflow of this task's own, named after dag and task. The same text again changes
    nothing; another text makes another version, so let `{ds}` and `$params.x` vary from run to run rather than Jinja.

    :param conf: the parameters of the instance, JSON; in `sql` they are `$params.name`. (`params` stays Airflow's own.)
    :param conn_id: a connection of type `pgdurable`.
    :param namespace: that of the workflow; without it the connection's.
    :param wait: False ends the task as soon as the instance is started; its value is the instance's id.
    :param deferrable: wait in the triggerer, after two seconds in the worker. Airflow's `default_deferrable` if unset.
    :param poll_interval: how many seconds may pass, at most, between the end and its being seen.
    :param on_kill: `cancel` the instance when somebody clears, marks or kills this task, or its `execution_timeout`
        passes, or `leave` it. A worker or a triggerer that dies or restarts never cancels anything.
    :param result: `xcom` pushes the result of `result_step`; `none` pushes nothing.
    :param result_step: whose result; without it that of the last step, if there is exactly one that nothing follows.

    **Once per run of the task.** The instance's run key is made of dag, run, task and map index. Whatever brings this
    task to a worker again, it finds the instance that is there:

    * under way: it waits for it. Airflow lost a worker, or a try came to its timeout with `on_kill="leave"`.
    * completed: it takes the result and runs nothing. Airflow lost the worker at the last moment. Only when the task
      was *cleared* since, which is how somebody asks Airflow to do it again, a new instance is started.
    * failed or cancelled: it is continued, by `df.retry_instance`: the steps that failed run again, and what comes
      after them; what completed stays. So do Airflow's retries, and clearing a failed task. They come on top of the
      retries of the steps themselves. The parameters stay those with which the instance was started.

    When somebody else cancels the instance, the task fails at once and is not retried: Airflow would continue what a
    person stopped. Clear the task to continue it.
    """

    template_fields: Sequence[str] = ("workflow", "graph", "sql", "conf", "conn_id", "namespace", "result_step")
    template_ext: Sequence[str] = (".sql", ".json")
    template_fields_renderers = {"graph": "json", "sql": "sql", "conf": "json"}  # noqa: RUF012 - Airflow's own shape
    ui_color = "#cfe0ee"

    def __init__(
        self,
        *,
        workflow: str | None = None,
        graph: Mapping[str, JsonValue] | str | None = None,
        sql: str | Sequence[str] | None = None,
        dsl: str | None = None,
        conf: Mapping[str, Any] | None = None,
        conn_id: str = PgDurableHook.default_conn_name,
        namespace: str | None = None,
        wait: bool = True,
        deferrable: bool | None = None,
        poll_interval: float = 5.0,
        on_kill: Literal["cancel", "leave"] = "cancel",
        result: Literal["xcom", "none"] = "xcom",
        result_step: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_choice(self.task_id, {"workflow": workflow, "graph": graph, "sql": sql, "dsl": dsl})
        _check_word(self.task_id, "on_kill", on_kill, ("cancel", "leave"))
        _check_word(self.task_id, "result", result, ("xcom", "none"))
        self.workflow = workflow
        self.graph = graph
        self.sql = sql
        self.conf = conf
        self.conn_id = conn_id
        self.namespace = namespace
        self.wait = wait
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.when_killed = on_kill
        self.result = result
        self.result_step = result_step
        self._running: tuple[str, str, int] | None = None

    def execute(self, context: Any) -> object:
        started = time.monotonic()
        run = self._run_of(context)
        with failing_clearly(), PgDurableHook(self.conn_id).client() as client:
            order = self._order(run, context)
            attachment = attach(client, order, run)
        awaited = attachment.awaited
        self._running = (self.conn_id, awaited.instance_id, run.try_number)
        self.log.info(_HOW[attachment.how], awaited.instance_id, order.workflow)
        context["ti"].xcom_push(key=INSTANCE_KEY, value=awaited.instance_id)
        if not self.wait:
            self._running = None
            return awaited.instance_id
        return self._wait(awaited, run, started, after_log=0)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> object:
        """Go on after the trigger has fired."""
        run = self._run_of(context)
        self.conn_id = event["conn_id"]
        instance_id = event["instance_id"]
        self._running = (self.conn_id, instance_id, run.try_number)
        if event["status"] == "error":
            raise AirflowException(f"{event['message']}\n  instance {instance_id} goes on; the next try waits for it")
        if event["status"] == "timeout":
            self.on_kill()
            raise AirflowTaskTimeout(f"execution_timeout passed while instance {instance_id} ran")
        return self._finish(run, instance_id, Telling(self.log, instance_id, event["after_log"]))

    def on_kill(self) -> None:
        """Cancel the instance, whose running statement is stopped within a second while a worker lives."""
        if self._running is None:
            return
        conn_id, instance_id, try_number = self._running
        if self.when_killed == "leave":
            self.log.info("instance %s goes on", instance_id)
            return
        try:
            with PgDurableHook(conn_id).client() as client:
                client.cancel(instance_id, ends(try_number))
        except ConflictError:
            return  # it has ended
        except PgDurableError as error:
            self.log.error("instance %s could not be cancelled: %s", instance_id, error.show())
            return
        self.log.info("instance %s is cancelled", instance_id)

    def _run_of(self, context: Mapping[str, Any]) -> TaskRun:
        ti = context["ti"]
        map_index = -1 if ti.map_index is None else ti.map_index
        return TaskRun(ti.dag_id, ti.run_id, ti.task_id, map_index, ti.try_number, ti.max_tries, self.retries or 0)

    def _order(self, run: TaskRun, context: Mapping[str, Any]) -> Order:
        params = _parameters(self.conf)
        document = self._document(run, params)
        return Order(
            workflow=str(self.workflow) if document is None else run.workflow,
            namespace=self.namespace or PgDurableHook(self.conn_id).namespace,
            params=params,
            logical_date=context.get("logical_date"),
            document=document,
            result_step=self.result_step,
        )

    def _document(self, run: TaskRun, params: Mapping[str, JsonValue]) -> Mapping[str, JsonValue] | None:
        if self.graph is not None:
            return _graph_document(self.graph)
        if self.sql is not None:
            return _sql_document(self.sql, params, source=f"Airflow {run.dag_id}.{run.task_id}")
        return None

    def _wait(self, awaited: Awaited, run: TaskRun, started: float, after_log: int) -> object:
        telling = Telling(self.log, awaited.instance_id, after_log)
        with failing_clearly():
            until = started + INLINE_SECONDS if self.deferrable else None
            if not wait_in_place(PgDurableHook(self.conn_id).client, awaited, until, self.poll_interval, telling):
                self.defer(trigger=self._trigger(awaited, run, started, telling), method_name="execute_complete")
        return self._finish(run, awaited.instance_id, telling)

    def _trigger(self, awaited: Awaited, run: TaskRun, started: float, telling: Telling) -> PgDurableTrigger:
        deadline = None
        if self.execution_timeout is not None:
            # Airflow's own clock stands still while a task is deferred, and what ends a deferral cannot cancel.
            deadline = time.time() + self.execution_timeout.total_seconds() - (time.monotonic() - started)
        return PgDurableTrigger(
            conn_id=self.conn_id,
            instance_id=awaited.instance_id,
            generation=awaited.generation,
            refused_retries=awaited.refused_retries,
            try_number=run.try_number,
            cancels=self.when_killed == "cancel",
            poll_interval=self.poll_interval,
            deadline=deadline,
            after_log=telling.after_log,
        )

    def _finish(self, run: TaskRun, instance_id: str, telling: Telling) -> object:
        with failing_clearly(), PgDurableHook(self.conn_id).client() as client:
            instance = client.instance(instance_id)
            again = self._what_to_wait_for_still(client, instance, run)
            if again is None:
                self._running = None
                steps = client.steps(instance_id)
                telling.tell_end(client, steps)
                if instance.status == "completed":
                    return self._value(steps)
                kind = AirflowFailException if instance.status == "cancelled" else AirflowException
                raise kind(failure_text(instance, steps, client.events(instance_id)))
        return self._wait(again, run, time.monotonic(), telling.after_log)

    def _what_to_wait_for_still(self, client: Client, instance: InstanceRow, run: TaskRun) -> Awaited | None:
        """Return what comes next for an instance that is not at its end for this try, None when it is."""
        instance_id = instance.instance_id
        if instance.is_finished and instance.status != "cancelled":
            return None
        row = client.progress([instance_id])[instance_id]
        if not row.is_finished:
            return Awaited(instance_id, row.generation, row.refused_retries)  # somebody continued it
        if not was_ended_by_earlier_try(client, instance_id, run):
            return None
        self.log.info("instance %s was cancelled for an earlier try; it is continued", instance_id)
        return continue_from_failure(client, row, run)

    def _value(self, steps: Sequence[StepRow]) -> object:
        if self.result == "none":
            return None
        if self.result_step is not None:
            return value_of(steps, self.result_step)
        last = last_steps(steps)
        if len(last) == 1:
            return value_of(steps, last[0])
        self.log.info("no result for XCom: %s steps have nothing after them; result_step names one", len(last))
        return None


def default_deferrable() -> bool:
    """Say what Airflow's configuration wants of operators that can be deferred."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Fail the task with all that an error of ours says; the task log shows no more than the exception's text."""
    try:
        yield
    except PgDurableError as error:
        raise AirflowException(error.show()) from None  # it is all there


def _check_choice(task_id: str, given: Mapping[str, object]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise UsageError(
            f"{task_id}: give exactly one of {', '.join(given)}; given: {', '.join(named) or 'none'}",
            hint="workflow= names a deployed one; graph= and sql= bring their own",
        )
    if named == ["dsl"]:
        raise NotSupportedHereError(
            f"{task_id}: this version does not read the operator text of pg_durable (dsl=)",
            hint="Write sql=[...], or deploy a workflow and name it.",
            sqlstate="PD501",
        )


def _check_word(task_id: str, name: str, given: str, words: Sequence[str]) -> None:
    if given not in words:
        raise UsageError(f"{task_id}: {name} is {' or '.join(map(repr, words))}, not {given!r}")


def _parameters(conf: Any) -> Mapping[str, JsonValue]:
    if conf is None:
        return {}
    if not isinstance(conf, Mapping):
        raise UsageError(f"conf is a mapping of parameters, not {type(conf).__name__}")
    try:
        written: Mapping[str, JsonValue] = json.loads(json.dumps(dict(conf), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"conf holds what is no JSON: {error}", hint="Write dates as text: {{ ds }}.") from error
    return written


def _graph_document(graph: Any) -> Mapping[str, JsonValue]:
    """Read the document that a task brings; its name is the task's."""
    if isinstance(graph, str):
        try:
            graph = json.loads(graph)
        except ValueError as error:
            raise UsageError(f"graph is no JSON: {error}") from error
    if not isinstance(graph, Mapping):
        raise UsageError(f"graph is a graph document, not {type(graph).__name__}")
    if graph.get("schedule") is not None:
        raise UsageError(
            "graph has a schedule of its own, and Airflow's is the one that counts here",
            hint="Leave it out; or deploy the workflow and name it with workflow=.",
        )
    return dict(graph)


def _sql_document(sql: Any, params: Mapping[str, JsonValue], source: str) -> Mapping[str, JsonValue]:
    """Make a chain of one step for each text: `sql`, or `sql_1`, `sql_2` and so on."""
    texts = [sql] if isinstance(sql, str) else list(sql)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UsageError("sql is a text, or a list of texts, and none of them empty")
    keys = ["sql"] if len(texts) == 1 else [f"sql_{number}" for number in range(1, len(texts) + 1)]
    steps: list[JsonValue] = []
    for place, (key, text) in enumerate(zip(keys, texts, strict=True)):
        step: dict[str, JsonValue] = {"key": key, "run": {"kind": "sql", "sql": text}, "source": source}
        if place:
            step["after"] = [keys[place - 1]]
        steps.append(step)
    return {"pgdurable_graph": 1, "params": {name: {} for name in sorted(params)}, "steps": steps}
