"""The Python modules a workflow pins: those its callables live in, and the siblings these import."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgdurable_airflow.importer.task import Surroundings
from pgdurable_core.importing.protocol import ModuleSource

_PACKAGES: Final = {"airflow": "apache-airflow", "yaml": "pyyaml", "dateutil": "python-dateutil", "PIL": "pillow"}


@dataclass(frozen=True, slots=True)
class Pinned:
    """Modules by name, and what they import from outside the dags folder."""

    modules: dict[str, ModuleSource]
    packages: frozenset[str]
    variables: frozenset[str]


def module_source(text: str, path: Path | None = None) -> ModuleSource:
    """Pin a text by its hash."""
    return ModuleSource(text=text, digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", path=path)


def pin(callables: Iterable[str], loaded: Mapping[str, str], around: Surroundings) -> Pinned:
    """Pin the modules of `callables` (`module:name`) that lie in the dags folder, and the siblings they import."""
    known: dict[str, Path] = {}
    for path in {Path(text) for text in loaded.values()} | {around.dag.file}:
        name = around.module_name(path)
        if name is not None:
            known[name] = path
    found: dict[str, ModuleSource] = {}
    packages: set[str] = set()
    variables: set[str] = set()
    pending = [callable_name.partition(":")[0] for callable_name in callables]
    while pending:
        name = pending.pop()
        if name in found or name not in known:
            if name not in known and "." not in name and name not in sys.stdlib_module_names:
                packages.add(_PACKAGES.get(name, name))
            continue
        text = known[name].read_text(encoding="utf-8")
        found[name] = module_source(text, known[name])
        imported, read = _imports(text)
        variables |= read
        for target in imported:
            inside = _resolve(target, known)
            pending.extend(inside)
            root = target.partition(".")[0]
            if not inside and root not in sys.stdlib_module_names and root not in known:
                packages.add(_PACKAGES.get(root, root))
        pending.extend(parent for parent in _parents(name) if parent in known and known[parent].read_text().strip())
    return Pinned(
        dict(sorted(found.items(), key=lambda pair: pair[1].path != around.dag.file)),
        frozenset(packages),
        frozenset(variables),
    )


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _resolve(target: str, known: Mapping[str, Path]) -> list[str]:
    """Find the sibling modules a dotted name reaches: `common.alerts.slack_alert` reaches `common.alerts`."""
    while target:
        if target in known:
            return [target]
        target = target.rpartition(".")[0]
    return []


def _imports(text: str) -> tuple[list[str], set[str]]:
    """List dotted names that a module imports, and the Variables it reads by a constant name."""
    names: list[str] = []
    variables: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                names += [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names += [f"{module}.{alias.name}" for alias in node.names]
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="Variable"), attr="get"), args=[ast.Constant(value=str(name)), *_]
            ):
                variables.add(name)
    return names, variables
