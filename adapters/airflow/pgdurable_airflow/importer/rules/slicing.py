"""Copying a callable out of its module, where it provably needs nothing from around it."""

import ast
import builtins
import textwrap
from collections.abc import Sequence

from pgdurable_airflow.importer.facts import CallableFacts
from pgdurable_airflow.importer.rules.mapping import function_node


def slice_problem(facts: CallableFacts) -> str | None:
    """Say why a callable cannot stand alone; None when it can."""
    node = function_node(facts)
    if not isinstance(node, ast.FunctionDef):
        return "its source cannot be found"
    if facts.nonlocals:
        return f"it uses {facts.nonlocals[0]} from around it"
    for default in [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]:
        if not isinstance(default, ast.Constant):
            return f"its default `{ast.unparse(default)}` is computed"
    known = {use.name for use in facts.uses if use.kind in ("module", "class", "function")}
    for use in facts.uses:
        if use.kind == "import":
            if use.file is not None:
                return f"it imports {use.module} from the dags folder"
            continue
        if use.kind in ("name", "unknown"):
            return f"it uses {use.name}, which static reading does not look into"
        if use.kind == "value" or use.file is not None or use.module.partition(".")[0] == "airflow":
            return f"it uses {use.name} of its module"
        if use.kind == "function" and use.module.startswith("unusual_prefix"):
            return f"it uses {use.name} of its module"
    bound = {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    bound |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and not isinstance(name.ctx, ast.Load)}
    bound |= {
        (alias.asname or alias.name).partition(".")[0]
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
        for alias in inner.names
    }
    bound |= {inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef | ast.ClassDef)}
    bound |= {inner.name for inner in ast.walk(node) if isinstance(inner, ast.ExceptHandler) and inner.name}
    for body in node.body:
        for name in ast.walk(body):
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load):
                if name.id in bound or name.id in known or hasattr(builtins, name.id):
                    continue
                return f"it uses {name.id}, which is nowhere to be found"
            if isinstance(name, ast.Name) and name.id == "__file__":
                return "it uses __file__"
    return None


def slice_text(source: str, callables: Sequence[CallableFacts]) -> str:
    """Write the module that holds the callables copied out of `source`."""
    imports: set[str] = set()
    bodies: dict[str, str] = {}
    for facts in callables:
        for use in facts.uses:
            if use.kind == "module":
                imports.add(f"import {use.module}" + (f" as {use.name}" if use.name != use.module else ""))
            elif use.kind in ("class", "function"):
                imports.add(f"from {use.module} import {use.name}")
        lines = textwrap.dedent(facts.source or "").splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith(("def ", "async def ")))
        bodies[facts.name] = "\n".join(lines[start:]).rstrip()
    head = f'"""Callables of {source}, copied as they stand there."""\n\nfrom __future__ import annotations\n'
    middle = "\n" + "\n".join(sorted(imports)) + "\n" if imports else ""
    return head + middle + "".join(f"\n\n{body}\n" for body in bodies.values())
