"""Every operator's call of a file is accounted for: it made tasks, or it stands where the reading did not come."""

import ast

from pgdurable_airflow.importer.facts import Fact
from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.scopes import Module
from pgdurable_airflow.importer.load.syntax.values import Class, Imported, Value


def operator_calls(module: Module) -> list[tuple[ast.Call, str]]:
    """List the calls of a file whose name is an operator class's, by what the name is bound to or looks like."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and (name := _operator(node.func, module)) is not None:
            found.append((node, name))
    return found


def _operator(function: ast.expr, module: Module) -> str | None:
    if isinstance(function, ast.Attribute) and function.attr in ("partial", "expand", "expand_kwargs"):
        return None
    value: Value = None
    if isinstance(function, ast.Name):
        value = module.names.get(function.id)
    elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        owner = module.names.get(function.value.id)
        value = Imported(f"{owner.path}.{function.attr}") if isinstance(owner, Imported) else None
    if isinstance(value, Class) and value.library is not None:
        return value.name
    if isinstance(value, Imported):
        full = library.full_name(value.path)
        if library.operator(full) is not None or library.looks_like_operator(full):
            return full.rpartition(".")[2]
    return None


def unreached_calls(machine: Machine) -> list[dict[str, Fact]]:
    """List the operators' calls that made no task, each with its place."""
    made = {(file, line, column) for file, line, column in machine.made}
    found: list[dict[str, Fact]] = []
    for module in machine.modules.values():
        file = str(module.file)
        for node, name in operator_calls(module):
            if (file, node.lineno, node.col_offset) not in made:
                found.append({"file": file, "line": node.lineno, "operator": name})
    return sorted(found, key=lambda each: (str(each["file"]), int(str(each["line"]))))
