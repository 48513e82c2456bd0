"""`.expand`: a task mapped over another task's result, read as one scope per row."""

import ast
from dataclasses import dataclass
from pathlib import Path

from pgdurable_airflow.importer.facts import CallableFacts, Fact, elements, is_row, items, read_callable, tag
from pgdurable_airflow.importer.results import result_columns
from pgdurable_airflow.importer.task import Task


@dataclass(frozen=True, slots=True)
class RowParameters:
    """SQL texts for psycopg's placeholders, from columns of the row, and the comment that says so."""

    values: dict[str, str] | list[str]
    comment: str


def refuse_mapping(task: Task, what: str) -> Exception:
    """Refuse a task over what it is expanded over."""
    return task.refuse(
        "AF162",
        f"expanded over {what}",
        f"The task is expanded over {what}.",
        "Expand one argument over the result of one task; pick columns with .map(lambda row: {...: row[0]}).",
    )


def expanded_argument(task: Task) -> tuple[str, Fact] | None:
    """Find the one argument a mapped task is expanded over; None for a task that is not mapped."""
    if not task.facts.is_mapped:
        return None
    if task.facts.expand_kind == "ListOfDictsExpandInput":
        raise refuse_mapping(task, "whole sets of arguments (expand_kwargs)")
    arguments = items(task.facts.expand)
    if len(arguments) != 1:
        raise refuse_mapping(task, f"{len(arguments)} arguments at once ({', '.join(arguments)})")
    return next(iter(arguments.items()))


def row_parameters(task: Task) -> tuple[str | None, RowParameters | None]:
    """Read `.expand(parameters=upstream.output…)`: the upstream to map over, and what each placeholder becomes."""
    found = expanded_argument(task)
    if found is None:
        return None, None
    name, value = found
    if name != "parameters":
        raise refuse_mapping(task, f"`{name}`: the text itself is known only at run time")
    arg, functions = _unmapped(task, value)
    upstream_id = str(arg["task"])
    upstream = task.around.dag.task(upstream_id)
    names = result_columns(upstream) if upstream is not None else None
    if names is None:
        raise refuse_mapping(task, f"the rows of {upstream_id}, whose columns its SQL does not prove")
    if not functions:
        values: dict[str, str] | list[str] = [f"$item.{column}" for column in names]
        task.find(
            "AF161",
            "%s read as columns",
            "The parameters are the rows themselves.",
            f"The SQL of {upstream_id} names its columns, so the values are {', '.join(values)}.",
        )
        return upstream_id, RowParameters(values, f"One scope per row of {upstream_id}; %s are its columns in order.")
    if len(functions) > 1:
        raise refuse_mapping(task, "several .map calls")
    facts = functions[0]
    picked = picked_columns(facts)
    if picked is None:
        raise refuse_mapping(task, "a .map function that does more than pick columns of its row")
    source, body = picked
    try:
        values = (
            {key: f"$item.{names[number]}" for key, number in body.items()}
            if isinstance(body, dict)
            else [f"$item.{names[number]}" for number in body]
        )
    except IndexError as error:
        raise refuse_mapping(task, f"a column {upstream_id} does not have") from error
    first = next(iter(values.values())) if isinstance(values, dict) else values[0] if values else ""
    placeholder = f"%({next(iter(values))})s" if isinstance(values, dict) and values else "%s"
    comment = f"One scope per row of {upstream_id}. {placeholder}, filled by {source}, is {first}."
    task.find(
        "AF161",
        ".map(lambda) read as a column",
        f"The parameters are made by `{source}`.",
        f"The SQL of {upstream_id} names its columns, so the value is {first}.",
    )
    return upstream_id, RowParameters(values, comment)


def _unmapped(task: Task, value: Fact) -> tuple[dict[str, Fact], list[CallableFacts]]:
    if tag(value) == "xcommap" and is_row(value):
        functions = [read_callable(each) for each in elements(value["callables"]) if is_row(each)]
        if len(functions) != len(elements(value["callables"])):
            raise refuse_mapping(task, "a .map function that cannot be read")
        value = value["arg"]
    else:
        functions = []
    if tag(value) != "xcom" or not is_row(value):
        raise refuse_mapping(task, "literals" if tag(value) is None or tag(value) == "tuple" else "a joined result")
    if value.get("key") != "return_value":
        raise task.refuse(
            "AF137",
            f"XCom key {value.get('key')}",
            "The task is expanded over another key of an XCom.",
            "Return the value.",
        )
    return value, functions


def picked_columns(facts: CallableFacts) -> tuple[str, dict[str, int] | list[int]] | None:
    """Read `lambda row: {"x": row[0]}` or `[row[1], row[0]]`, or the same as a function: its text, and the numbers."""
    node = function_node(facts)
    if node is None or facts.nonlocals:
        return None
    arguments = node.args
    if len(arguments.args) != 1 or arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return None
    row = arguments.args[0].arg
    if isinstance(node, ast.Lambda):
        body, source = node.body, ast.unparse(node)
    else:
        statements = [statement for statement in node.body if not _is_docstring(statement)]
        if len(statements) != 1 or not isinstance(statements[0], ast.Return) or statements[0].value is None:
            return None
        body, source = statements[0].value, f"{node.name}: {ast.unparse(statements[0])}"
    source = source.replace("'", '"')
    match body:
        case ast.Dict(keys=keys, values=values):
            numbers = [_column(value, row) for value in values]
            texts = [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            if None in numbers or len(texts) != len(numbers) or not texts:
                return None
            return source, {text: number for text, number in zip(texts, numbers, strict=True) if number is not None}
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            found = [_column(part, row) for part in parts]
            return None if None in found or not found else (source, [number for number in found if number is not None])
    return None


def _column(node: ast.expr, row: str) -> int | None:
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(number))) if name == row:
            return number if number >= 0 and not isinstance(number, bool) else None
    return None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def function_node(facts: CallableFacts) -> ast.Lambda | ast.FunctionDef | None:
    """Find the syntax of a function in its file: by line, and by column where a line holds several lambdas."""
    if facts.file is None or facts.line is None:
        return None
    try:
        tree = ast.parse(Path(facts.file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    found: list[ast.Lambda | ast.FunctionDef] = []
    for node in ast.walk(tree):
        if facts.name == "<lambda>" and isinstance(node, ast.Lambda) and node.lineno == facts.line:
            found.append(node)
        elif isinstance(node, ast.FunctionDef) and node.name == facts.name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == facts.line or node.lineno == facts.line:
                found.append(node)
    if len(found) > 1 and facts.column is not None:
        found = [
            node for node in found if isinstance(node, ast.Lambda)
            and node.col_offset <= facts.column <= (node.end_col_offset or 0) and _innermost(node, found, facts.column)
        ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _innermost(node: ast.Lambda, others: list[ast.Lambda | ast.FunctionDef], column: int) -> bool:
    return not any(
        other is not node
        and isinstance(other, ast.Lambda)
        and node.col_offset < other.col_offset <= column
        and (other.end_col_offset or 0) <= (node.end_col_offset or 0)
        for other in others
    )
