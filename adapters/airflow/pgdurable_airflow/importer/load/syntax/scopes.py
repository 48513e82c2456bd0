"""Names and where they are found: scopes of functions, and the modules a file and its siblings are."""

import ast
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from types import CodeType

from pgdurable_airflow.importer.load.syntax.values import Class, Value


@dataclass(slots=True, eq=False)
class Module:
    """A file under reading. `name` is what Airflow imports it as."""

    name: str
    file: Path
    tree: ast.Module
    text: str
    names: dict[str, Value] = field(default_factory=dict)
    code: CodeType | None = None
    is_done: bool = False

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines(keepends=True)


@dataclass(slots=True, eq=False)
class Scope:
    """The names a statement sees. Functions have a parent, a module's own scope has none."""

    module: Module
    names: dict[str, Value]
    parent: "Scope | None" = None
    qualname: str = ""
    is_class: bool = False
    outer: set[str] = field(default_factory=set)
    cls: Class | None = None

    def find(self, name: str) -> tuple[bool, Value]:
        """Look a name up, through the functions around; scopes of classes are seen from inside themselves alone."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not scope.is_class):
                return True, scope.names[name]
            scope = scope.parent
        if name in self.module.names:
            return True, self.module.names[name]
        return False, None

    def bind(self, name: str, value: Value) -> None:
        """Bind a name here, or where `global` and `nonlocal` say."""
        if name in self.outer:
            scope = self.parent
            while scope is not None:
                if name in scope.names and not scope.is_class:
                    scope.names[name] = value
                    return
                scope = scope.parent
            self.module.names[name] = value
            return
        self.names[name] = value

    def inner(self, name: str) -> str:
        """Write the qualified name of something defined here."""
        if not self.qualname:
            return name
        return f"{self.qualname}.{name}" if self.is_class else f"{self.qualname}.<locals>.{name}"


def dag_module_name(path: Path) -> str:
    """Name the module of a DAG file as Airflow does (airflow/dag_processing, get_unique_dag_module_name)."""
    # Airflow's own choice of hash; nothing is protected by it.
    digest = sha1(str(path).encode(), usedforsecurity=False).hexdigest()
    return f"unusual_prefix_{digest}_{path.stem.replace('.', '_')}"
