"""SQLExecuteQueryOperator, PostgresOperator and SQLCheckOperator, in every form of `sql=`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from pgdurable_airflow.importer.facts import Fact, OpaqueError, callable_of, elements, is_absent, items, plain, tag
from pgdurable_airflow.importer.results import reference_name
from pgdurable_airflow.importer.rules.mapping import row_parameters
from pgdurable_airflow.importer.sqltext import (
    PlaceholderError,
    controls_transaction,
    joined,
    leading_role,
    literal,
    no_transaction_word,
    only_reads,
    put_in,
    starts_with_call,
    without_bracket,
)
from pgdurable_airflow.importer.task import Draft, Task
from pgdurable_airflow.importer.templates import UntranslatableError, render_texts
from pgdurable_core.graph.model import Check, Sql, StatementClass

_DEFAULT_HANDLER = "fetch_all_handler"


@dataclass(slots=True)
class _Text:
    """The SQL on its way: its text and what was learnt about it."""

    sql: str
    bind: dict[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    comments: list[str] = field(default_factory=list)
    is_list: bool = False


def execute_query(task: Task) -> Draft:
    """Turn SQLExecuteQueryOperator into a step: one transaction, whatever the form of its SQL."""
    parts, files, is_list = _sources(task)
    each, mapped = row_parameters(task)
    text = _assembled(task, parts, mapped)
    text.files, text.is_list = files, is_list
    if is_list and len(parts) > 1:
        count = {2: "two", 3: "three", 4: "four"}.get(len(parts), str(len(parts)))
        text.comments.append(f"A list of {count} statements in Airflow: one transaction and one retry unit, as here.")
    autocommit = bool(task.take("autocommit")) if task.take("autocommit") is not None else False
    run_as = _reshape(task, text)
    if autocommit and is_list and len(parts) > 1:
        raise task.refuse(
            "AF110",
            "a list with autocommit commits statement by statement",
            "Each statement of the list commits by itself (autocommit), so the first survives a failure of the second.",
            "Make one task of each statement.",
        )
    statement_class = _statement_class(task, text.sql, autocommit)
    _result(task, is_list)
    comments = list(text.comments)
    if each is not None and mapped is not None:
        comments.append(mapped.comment)
    return Draft(
        run=Sql(text.sql),
        home="native",
        becomes="sql, outside a transaction" if statement_class else _becomes(text.sql, each),
        bind=text.bind,
        each=each,
        connection=_connection(task),
        run_as=run_as,
        statement_class=statement_class,
        comments=tuple(comments),
        files=text.files,
        references=text.references,
    )


def check(task: Task) -> Draft:
    """Turn SQLCheckOperator into a check: every column of the first row must be true."""
    parts, files, is_list = _sources(task)
    if is_list:
        raise task.refuse("AF112", "a check over a list", "SQLCheckOperator takes one text.", "Give one query.")
    text = _assembled(task, parts, None)
    if controls_transaction(text.sql):
        raise task.refuse(
            "AF115", "transaction control in a check", "The check begins or ends a transaction.", "Take it out."
        )
    if task.take("retry_on_failure") is False:
        task.find(
            "AF021",
            "retry_on_failure",
            "A failed check is not tried again (retry_on_failure=False).",
            "Here `retries` holds for it too.",
            "Set retries=0 on the task.",
        )
    return Draft(
        run=Check(text.sql),
        home="native",
        becomes="check",
        bind=text.bind,
        connection=_connection(task),
        comments=("Every column of the first row must be true.",),
        files=files,
        references=text.references,
    )


def _sources(task: Task) -> tuple[list[str], tuple[Path, ...], bool]:
    """Read `sql=`: one text or a list, template files put in where their names stand."""
    value = task.take("sql")
    if tag(value) == "literal" and isinstance(value, dict):
        raise task.refuse(
            "AF112", "literal() SQL", "The SQL is marked as a literal that Airflow does not render.", "Use plain text."
        )
    is_list = isinstance(value, list) or tag(value) == "tuple"
    parts: list[str] = []
    files: list[Path] = []
    for item in elements(value) if is_list else [value]:
        if not isinstance(item, str):
            raise task.refuse(
                "AF112",
                "SQL known only at run time",
                f"`sql` is {_what(item)}.",
                "Build the SQL in the database, or use a Python task that connects by itself and runs it.",
            )
        file = task.facts.files.get(item)
        if file is None:
            parts.append(item)
        elif file.text is None:
            raise task.refuse(
                "AF119",
                f"{item} is not on the search path",
                f"`{item}` cannot be read: {file.error}.",
                "Add its folder to template_searchpath.",
            )
        else:
            parts.append(file.text)
            if file.path is not None:
                files.append(file.path)
    if not any(part.strip() for part in parts):
        raise task.refuse("AF112", "no SQL at all", "`sql` is empty.", "Use EmptyOperator.")
    return parts, tuple(dict.fromkeys(files)), is_list


def _what(fact: Fact) -> str:
    try:
        return f"a {type(plain(fact)).__name__}"
    except OpaqueError as error:
        return str(error)


def _assembled(task: Task, parts: list[str], mapped: "object | None") -> _Text:
    """Translate templates, then put parameters in as psycopg would."""
    from pgdurable_airflow.importer.rules.mapping import RowParameters

    given = task.take("parameters")
    parameters, texts = _constants(task, given)
    known = frozenset(reference_name(facts.task_id) for facts in task.around.dag.tasks)
    try:
        rendered = render_texts([*parts, *texts], task.scope(), known)
    except UntranslatableError as error:
        raise refuse_template(task, error) from error
    note_raw_params(task, rendered.used_params)
    if rendered.pulled:
        task.find(
            "AF152",
            "xcom_pull became $step.col",
            "The SQL holds the result of another task.",
            "`$step.col` is a value quoted by its type; Airflow prints Python's text of it.",
            "Look at the text around it.",
        )
    bodies = list(rendered.texts[: len(parts)])
    filled = iter(rendered.texts[len(parts) :])
    sql = joined(bodies) if len(bodies) > 1 else bodies[0]
    text = _Text(sql, dict(rendered.bind), frozenset(task.pulled))
    try:
        if isinstance(mapped, RowParameters):
            text.sql = put_in(sql, mapped.values)
        elif parameters is not None and parameters:
            values = {name: _literal(value, filled) for name, value in parameters.items()}
            shape: dict[str, str] | list[str] = (
                values if isinstance(plain_or_none(given), dict) else list(values.values())
            )
            text.sql = put_in(sql, shape)
            task.find(
                "AF116",
                "parameters put in as literals",
                "`parameters` are values for %s or %(name)s.",
                "They stand in the text as SQL literals, as psycopg2 puts them in.",
            )
    except PlaceholderError as error:
        raise task.refuse("AF117", str(error), f"{error}.", "Make placeholders and parameters fit.") from error
    return text


def plain_or_none(fact: Fact) -> object:
    """Read a value, or None where it has none."""
    try:
        return plain(fact)
    except OpaqueError:
        return None


def _constants(task: Task, given: Fact) -> tuple[dict[str, object] | None, list[str]]:
    """Read constant parameters: by name or number, and the texts among them, which Airflow renders too."""
    if is_absent(given):
        return None, []
    try:
        value = plain(given)
    except OpaqueError as error:
        raise task.refuse(
            "AF117",
            "parameters known only at run time",
            f"`parameters` holds {error}.",
            "Map over the rows with .expand, or write the condition as a join.",
        ) from error
    if isinstance(value, dict):
        named = {str(key): inner for key, inner in value.items()}
    elif isinstance(value, list | tuple):
        named = {str(number): inner for number, inner in enumerate(value)}
    else:
        raise task.refuse(
            "AF117",
            "parameters of an unknown shape",
            f"`parameters` is a {type(value).__name__}.",
            "Give a dict or a list.",
        )
    return named, [inner for inner in named.values() if isinstance(inner, str)]


def _literal(value: object, filled: "object") -> str:
    return literal(next(filled) if isinstance(value, str) else value)  # type: ignore[call-overload]


def refuse_template(task: Task, error: UntranslatableError) -> Exception:
    """Refuse a task over its template: statements have a code of their own."""
    code = "AF151" if str(error).startswith("{%") else "AF150"
    return task.refuse(
        code,
        f"template {error} is not understood",
        f"The template holds {error}.",
        "Write it with ds, params, macros.ds_add, strftime or a bind expression; or compute it in SQL.",
    )


def note_raw_params(task: Task, names: frozenset[str]) -> None:
    """Say which params of type text stand raw in SQL."""
    from pgdurable_airflow.importer.facts import is_row
    from pgdurable_airflow.importer.templates import param_type

    dag = task.around.dag
    free = []
    for name in sorted(names):
        param = dag.params.get(name)
        schema = items(param.get("schema")) if is_row(param) else {}
        if param_type(param) == "string" and "enum" not in schema and "const" not in schema:
            free.append(name)
    if free:
        task.find(
            "AF153",
            f"params.{free[0]} is raw text in SQL",
            f"{', '.join(free)} stand(s) in the SQL as raw text.",
            "As in Airflow: whoever starts the run writes SQL.",
            "Use $params.name, which quotes; or an enum.",
        )


def _reshape(task: Task, text: _Text) -> str | None:
    """Take BEGIN/COMMIT and a leading SET ROLE out, and refuse what else controls transactions."""
    bare = without_bracket(text.sql)
    if bare is not None and not controls_transaction(bare):
        text.sql = bare
        text.comments.append("BEGIN and COMMIT taken out: a step is one transaction, together with its checkpoint.")
        task.find(
            "AF114",
            "BEGIN/COMMIT taken out",
            "The text is one transaction of its own: BEGIN, …, COMMIT.",
            "BEGIN and COMMIT were taken out; the step is one transaction.",
        )
    if controls_transaction(text.sql):
        raise task.refuse(
            "AF115",
            "BEGIN, COMMIT or ROLLBACK inside the text",
            "The text begins or ends transactions in the middle.",
            "Make several tasks of it.",
        )
    split = leading_role(text.sql)
    if split is None:
        return None
    role, text.sql = split
    text.comments.append(f"SET ROLE taken out: run_as => '{role}'.")
    task.find("AF113", f"SET ROLE became run_as {role}", "The text begins with SET ROLE.", f"The step runs as {role}.")
    return role


def _statement_class(task: Task, sql: str, autocommit: bool) -> StatementClass | None:
    """Say which texts run outside a transaction: a CALL with autocommit, and what PostgreSQL refuses inside one."""
    utility = no_transaction_word(sql)
    if utility is not None and not autocommit:
        task.find(
            "AF205",
            f"{utility} without autocommit fails in Airflow",
            f"PostgreSQL refuses {utility} inside a transaction, and the task opens one (autocommit is off).",
            "Here it runs outside a transaction.",
            "Set autocommit=True.",
        )
        return "autonomous"
    if autocommit and (utility is not None or starts_with_call(sql)):
        what = f"{utility} runs" if utility is not None else "A procedure, which may commit inside, is called"
        task.find(
            "AF111",
            f"{utility or 'CALL'} with autocommit: outside a transaction",
            f"{what} with autocommit.",
            "A worker runs it outside any transaction, at least once.",
        )
        return "autonomous"
    return None


def _becomes(sql: str, each: str | None) -> str:
    if each is not None:
        return f"sql, one per row of {each}"
    return "sql" if only_reads(sql) else "sql, one transaction"


def _connection(task: Task) -> str | None:
    name = task.take("conn_id")
    postgres = task.take("postgres_conn_id")
    value = name if isinstance(name, str) else postgres if isinstance(postgres, str) else None
    for option in ("database", "hook_params"):
        extra = task.take(option)
        if is_absent(extra) or (tag(extra) == "dict" and not items(extra)):
            continue
        task.find(
            "AF122",
            option,
            f"`{option}` changes how the connection is opened.",
            "It is not carried over.",
            "Give the role its settings (ALTER ROLE … SET), which every step of it has. Another database is refused.",
        )
    if value is None or not value.strip():
        task.find(
            "AF121",
            "no connection named",
            "The task names no connection.",
            "The step runs in the workflow's own database; in Airflow the task fails.",
        )
        return None
    if re.search(r"\{\{|\{%", value):
        raise task.refuse("AF150", "connection name is a template", f"conn_id is {value!r}.", "Name the connection.")
    return value


def _result(task: Task, is_list: bool) -> None:
    """Look at what makes another result of the rows; it matters only where another task uses it."""
    used = is_used(task)
    handler = task.take("handler")
    facts = callable_of(handler)
    others = [
        name
        for name in ("output_processor",)
        if not is_absent(task.take_given(name)) and not _is_library(task.facts.given.get(name))
    ]
    given = task.facts.given.get("handler")
    if used and (others or (not is_absent(given) and (facts is None or facts.name != _DEFAULT_HANDLER))):
        task.find(
            "AF118",
            "handler changes the result",
            "A handler or output_processor makes another result of the rows.",
            "The result is the rows.",
            "Do the same in SQL, or in the task that uses it.",
        )
    if is_list and used:
        task.find(
            "AF120",
            "result of a list",
            "Another task uses the results of all statements of the list.",
            "The result is the rows of the last statement.",
        )
    if used and task.take("return_last") is False:
        task.find(
            "AF120",
            "return_last=False",
            "Another task uses the results of all statements.",
            "The result is the rows of the last statement.",
        )
    task.ignore(
        "split_statements",
        "return_last",
        "requires_result_fetch",
        "show_return_value_in_logs",
        "retry_on_failure",
        "autocommit",
        "parameters",
    )


def _is_library(fact: Fact) -> bool:
    facts = callable_of(fact)
    return facts is None or facts.file is None or "airflow/providers" in facts.file.as_posix()


def is_used(task: Task) -> bool:
    """Say whether another task of the DAG reads this task's result, by argument, mapping or template."""
    marks = (f'"task": "{task.key}"', f"'{task.key}'", f'\\"{task.key}\\"')
    for other in task.around.dag.tasks:
        if other.task_id == task.key:
            continue
        text = repr(other.given) + repr(other.expand)
        if f"'task': '{task.key}'" in text or ("xcom_pull" in text and any(mark in text for mark in marks)):
            return True
    return False
