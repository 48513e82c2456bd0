"""Import statements: siblings in the dags folder are read too, everything else stays a name."""

import ast
from pathlib import Path

from pgdurable_airflow.importer.load.syntax import library
from pgdurable_airflow.importer.load.syntax.machine import Machine
from pgdurable_airflow.importer.load.syntax.scopes import Module, Scope
from pgdurable_airflow.importer.load.syntax.values import Imported, Value


def follow(machine: Machine, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
    """Bind the names an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            found = _module(machine, alias.name)
            if alias.asname is not None:
                scope.bind(alias.asname, found)
            else:
                root = alias.name.partition(".")[0]
                scope.bind(root, found if root == alias.name else _module(machine, root))
        return
    base = _absolute(node, scope.module)
    if base == "__future__":
        return
    for alias in node.names:
        if alias.name == "*":
            _star(machine, base, scope, node)
            continue
        scope.bind(alias.asname or alias.name, name_of(machine, base, alias.name, node))


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    is_package = module.file.name == "__init__.py"
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])


def name_of(machine: Machine, module: str, name: str, node: ast.AST) -> Value:
    """Find what `from module import name` gives."""
    found = _module(machine, module)
    dotted = f"{module}.{name}"
    if isinstance(found, Module):
        if name in found.names:
            return found.names[name]
        inner = find_sibling(machine, dotted)
        if inner is not None:
            return inner
        return machine.unknown(f"{dotted}, which is not there when it is read", node)
    inner = find_sibling(machine, dotted)
    if inner is not None:
        return inner
    _note_legacy(machine, dotted)
    return Imported(dotted)


def _note_legacy(machine: Machine, dotted: str) -> None:
    if dotted in library.LEGACY:
        machine.legacy[dotted] = library.LEGACY[dotted]
    elif dotted in library.POSTGRES_OPERATORS:
        machine.legacy[dotted] = library.EXECUTE_QUERY
    elif dotted == library.APPLY_DEFAULTS:
        machine.legacy[dotted] = "nothing: operators do it themselves"
    elif dotted == library.DAYS_AGO:
        machine.legacy[dotted] = "pendulum.today('UTC').add(days=-n)"


def _module(machine: Machine, dotted: str) -> Value:
    found = find_sibling(machine, dotted)
    return found if found is not None else Imported(dotted, is_module=True)


def _star(machine: Machine, base: str, scope: Scope, node: ast.AST) -> None:
    found = _module(machine, base)
    if not isinstance(found, Module):
        machine.note_structure(machine.dag, machine.doubt(f"from {base} import *", node))
        return
    listed = found.names.get("__all__")
    names = listed if isinstance(listed, list) else [name for name in found.names if not name.startswith("_")]
    for name in names:
        if name in found.names:
            scope.bind(str(name), found.names[str(name)])


def find_sibling(machine: Machine, dotted: str) -> Module | None:
    """Read a module of the dags or plugins folder, with the packages above it; None for one that is elsewhere."""
    parts = dotted.split(".")
    for root in machine.world.roots:
        base = root.joinpath(*parts)
        for candidate in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if candidate.is_file():
                for count in range(1, len(parts)):
                    find_sibling(machine, ".".join(parts[:count]))
                return load(machine, dotted, candidate.resolve())
        # A folder without __init__.py is a package too.
        if base.is_dir() and any(base.rglob("*.py")) and all(part.isidentifier() for part in parts):
            return machine.modules.setdefault(
                dotted, Module(dotted, base / "__init__.py", ast.Module([], []), "", is_done=True)
            )
    return None


def load(machine: Machine, name: str, file: Path) -> Module:
    """Read and follow a module once; one that is being read already is given as far as it has come."""
    if name in machine.modules:
        return machine.modules[name]
    try:
        data = file.read_bytes()
        tree = ast.parse(data)
        code = compile(tree, str(file), "exec", dont_inherit=True)
        text = _decoded(data)
    except (SyntaxError, ValueError, OSError, RecursionError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        failure = machine.raises(type(error).__name__, str(message))
        failure.file, failure.line = str(file), line
        raise failure from error
    module = Module(name, file, tree, text, code=code)
    machine.modules[name] = module
    here = machine.site
    frames, machine.frames = machine.frames, []
    machine.file = str(file)
    try:
        machine.run(tree.body, Scope(module, module.names))
    finally:
        machine.file, machine.line = here
        machine.frames = frames
    module.is_done = True
    return module


def _decoded(data: bytes) -> str:
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()
