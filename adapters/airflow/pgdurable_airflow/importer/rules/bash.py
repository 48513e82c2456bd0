"""BashOperator and @task.bash: a command in the shell of a worker."""

import ast
import shlex

from pgdurable_airflow.importer.facts import OpaqueError, elements, is_absent, plain
from pgdurable_airflow.importer.rules.base import refuse_binds
from pgdurable_airflow.importer.rules.mapping import function_node, refuse_mapping
from pgdurable_airflow.importer.rules.sql import refuse_template
from pgdurable_airflow.importer.task import Draft, Task
from pgdurable_airflow.importer.templates import UntranslatableError, render_texts
from pgdurable_core.graph.model import Shell


def command(task: Task) -> Draft:
    """Turn BashOperator into a shell step."""
    if task.facts.is_mapped:
        raise refuse_mapping(task, "commands")
    value = task.take("bash_command")
    if not isinstance(value, str):
        raise task.refuse(
            "AF166",
            "command known only at run time",
            "`bash_command` is the result of another task, or no text.",
            "Write the command as text, with templates.",
        )
    file = task.facts.files.get(value)
    if file is not None and file.text is None:
        raise task.refuse(
            "AF119",
            f"{value} is not on the search path",
            f"`{value}` cannot be read: {file.error}.",
            "End the command with a space if it is no template file.",
        )
    text = value if file is None or file.text is None else file.text
    files = (file.path,) if file is not None and file.path is not None else ()
    return _shell(task, text, files)


def decorated(task: Task) -> Draft:
    """Turn @task.bash into a shell step where its function only returns a constant."""
    task.ignore("python_callable", "op_args", "op_kwargs", "kwargs_to_upstream", "multiple_outputs", "bash_command")
    facts = task.facts.callable
    node = function_node(facts) if facts is not None else None
    if task.facts.is_mapped or facts is None or not isinstance(node, ast.FunctionDef):
        raise refuse_mapping(task, "commands")
    body = [statement for statement in node.body if not _is_docstring(statement)]
    match body:
        case [ast.Return(value=ast.Constant(value=str(text)))] if not elements(task.facts.given.get("op_args")):
            task.find(
                "AF163",
                "constant command read",
                f"`{facts.name}` only returns a constant.",
                "It is the command.",
                line=facts.def_line,
            )
            return _shell(task, text, ())
    raise task.refuse(
        "AF166",
        "command made by Python at run time",
        f"`{facts.name}` computes its command.",
        "Return a constant with templates in it, or use BashOperator.",
        line=facts.def_line,
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _shell(task: Task, text: str, files: "tuple[object, ...]") -> Draft:
    from pathlib import Path

    if not text.strip():
        raise task.refuse("AF166", "no command", "The command is empty.", "Use EmptyOperator.")
    environment = _environment(task)
    cwd = task.take("cwd")
    folder = cwd if isinstance(cwd, str) and cwd else None
    texts = [text, *environment.values(), *([folder] if folder else [])]
    try:
        rendered = render_texts(texts, task.scope())
    except UntranslatableError as error:
        raise refuse_template(task, error) from error
    refuse_binds(task, rendered.bind)
    if rendered.pulled:
        raise refuse_template(task, UntranslatableError("xcom_pull in a command"))
    values = rendered.texts[1 : 1 + len(environment)]
    has_env = not is_absent(task.facts.given.get("env"))
    append = not has_env or bool(task.take("append_env"))
    _exit_codes(task)
    task.ignore("env", "append_env", "cwd", "output_encoding", "output_processor")
    if not is_absent(task.facts.given.get("output_processor")):
        task.find(
            "AF118",
            "output_processor",
            "A function makes another result of the output.",
            "The result is the last line.",
        )
    task.find(
        "AF165",
        "runs in the worker's shell",
        "The command runs on the worker's machine.",
        "Fresh folder, the worker's environment; AIRFLOW_CTX_* variables are not set.",
    )
    binary = _binary(rendered.texts[0])
    return Draft(
        run=Shell(
            rendered.texts[0],
            dict(zip(environment, values, strict=True)),
            append_env=append,
            cwd=rendered.texts[-1] if folder else None,
        ),
        home="worker",
        becomes="shell worker",
        files=tuple(file for file in files if isinstance(file, Path)),
        binaries=frozenset({binary}) if binary else frozenset(),
    )


def _environment(task: Task) -> dict[str, str]:
    given = task.facts.given.get("env")
    if is_absent(given):
        return {}
    try:
        value = plain(given)
    except OpaqueError as error:
        raise task.refuse("AF135", "env known only at run time", f"`env` holds {error}.", "Give text.") from error
    if not isinstance(value, dict) or not all(isinstance(inner, str) for inner in value.values()):
        raise task.refuse("AF135", "env is no table of texts", "`env` holds values that are no text.", "Give text.")
    return {str(key): str(inner) for key, inner in value.items()}


def _exit_codes(task: Task) -> None:
    given = task.take_given("skip_on_exit_code")
    task.ignore("skip_on_exit_code")
    if "skip_on_exit_code" in task.facts.given and given not in (99, [99]):
        task.find(
            "AF022",
            "skip_on_exit_code",
            f"The task is skipped on exit code {given}, not on 99.",
            "Here 99 skips, and only 99.",
            "Map the code in the command: `… || exit 99`.",
        )


def _binary(text: str) -> str | None:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return None
    word = next((word for word in words if "=" not in word), "")
    return word if word and word.replace("/", "").replace("_", "").replace("-", "").replace(".", "").isalnum() else None
