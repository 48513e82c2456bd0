"""One task on its way to a step: what rules read from, and where they leave findings.

`take` marks an argument as understood. Every argument that nobody took becomes a finding, so nothing is silently lost.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.facts import CallableFacts, DagFacts, Doubt, Fact, TaskFacts, is_absent
from pgdurable_airflow.importer.results import pulled_reference
from pgdurable_airflow.importer.templates import Scope, UntranslatableError
from pgdurable_core.graph.model import Empty, Run, StatementClass
from pgdurable_core.importing.findings import Finding, Home, Weight


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every task of a DAG shares: the DAG, the versions, the folder that paths are shown from.

    `is_old` says that names of the file were read as what Airflow 3 calls them: Airflow 3 itself cannot load it.
    """

    dag: DagFacts
    airflow_major: int
    root: Path
    slice_code: bool
    is_old: bool = False
    folder: str = "workflows"

    def shown(self, path: Path) -> str:
        """Write a path as a person knows it: from the dags folder on, with the folder's own name."""
        if path.is_relative_to(self.root):
            return f"{self.root.name}/{path.relative_to(self.root).as_posix()}"
        return path.as_posix() if not path.is_absolute() else path.name

    def module_name(self, path: Path) -> str | None:
        """Name a file as Python imports it with the dags folder on the path; None when it cannot."""
        if not path.is_relative_to(self.root):
            return None
        parts = list(path.relative_to(self.root).with_suffix("").parts)
        if parts and parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


@dataclass(slots=True)
class Draft:
    """What a rule makes of a task. `becomes` and `home` are for people and totals, the rest goes into the step."""

    run: Run = field(default_factory=Empty)
    home: Home = "native"
    becomes: str = "empty"
    bind: Mapping[str, str] = field(default_factory=dict)
    each: str | None = None
    connection: str | None = None
    run_as: str | None = None
    statement_class: StatementClass | None = None
    comments: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    packages: frozenset[str] = frozenset()
    binaries: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    sliced: CallableFacts | None = None
    is_python: bool = False


class Refusal(Exception):
    """A rule cannot make a step of this task; its finding says why."""


class Task:
    """A task under conversion."""

    def __init__(self, facts: TaskFacts, around: Surroundings) -> None:
        self.facts = facts
        self.around = around
        self.findings: list[Finding] = []
        self.taken: set[str] = set()
        self.source_line = source_line(facts)
        self.pulled: dict[str, str] = {}
        # Where a task belongs that no rule knows; a rule says better.
        self.home: Home = "operator"

    @property
    def key(self) -> str:
        return self.facts.task_id

    def take(self, name: str) -> Fact:
        """Read an argument and mark it as understood: as given, else as the object holds it."""
        self.taken.add(name)
        if self.facts.is_mapped:
            return self.facts.given.get(name)
        return self.facts.attributes.get(name, self.facts.given.get(name))

    def take_given(self, name: str) -> Fact:
        """Read an argument only if the file gave it, and mark it as understood."""
        self.taken.add(name)
        value = self.facts.given.get(name)
        return None if is_absent(value) else value

    def ignore(self, *names: str) -> None:
        """Mark arguments that have no effect on a run."""
        self.taken.update(names)

    def find(
        self,
        code: str,
        short: str,
        what: str,
        happens: str = "",
        remedy: str = "",
        *,
        weight: Weight | None = None,
        line: int | None = None,
    ) -> None:
        """Leave a finding at this task."""
        file = self.facts.callable.file if self.facts.callable and line else self.facts.file
        found = Finding(
            code=code,
            weight=weight or CODES[code].weight,
            short=short,
            what=what,
            happens=happens,
            remedy=remedy,
            dag=self.around.dag.dag_id,
            task=self.key,
            file=self.around.shown(file) if file else None,
            line=line or self.source_line,
        )
        if found not in self.findings:
            self.findings.append(found)

    def refuse(self, code: str, short: str, what: str, remedy: str = "", *, line: int | None = None) -> Refusal:
        """Leave a finding that blocks the task, and give the refusal to raise."""
        happens = "No step can be made of it; the draft holds one that fails with this text."
        self.find(code, short, what, happens, remedy, weight="blocked", line=line)
        return Refusal(short)

    def doubtful(self, doubt: Doubt) -> None:
        """Say that static reading is not certain of the task itself."""
        place = f"{self.around.shown(doubt.file)}:{doubt.line}" if doubt.file else "the file"
        self.find(
            "AF031",
            f"not certain: {doubt.what}",
            f"At {place} stands what only running the file decides: {doubt.what}.",
            "No step can be made of it; the draft holds one that fails with this text.",
            "Read the file live: name an interpreter that has Airflow with --airflow-python.",
            weight="blocked",
        )

    def refuse_unknown(self, name: str, doubt: Doubt) -> Refusal:
        """Refuse a task over an argument whose value static reading does not know."""
        place = f"{self.around.shown(doubt.file)}:{doubt.line}" if doubt.file else "the file"
        refusal = self.refuse(
            "AF032",
            f"{name} is not known without running the file",
            f"`{name}` depends on what only running the file tells: {doubt.what}, at {place}.",
            "Read the file live: name an interpreter that has Airflow with --airflow-python.",
        )
        assert isinstance(refusal, Refusal)
        return refusal

    def scope(self) -> Scope:
        """Say what templates of this task may refer to."""
        dag = self.around.dag
        return Scope(
            dag_id=dag.dag_id,
            task_id=self.key,
            params=dag.params,
            airflow_major=self.around.airflow_major,
            own_names=dag.macros,
            own_filters=dag.filters,
            pull=self._pull,
            note_old=self.note_old,
        )

    def note_old(self, old: str, new: str) -> None:
        """Say that a name of Airflow 2's context was read as what Airflow 3 calls it."""
        self.find(
            "AF012",
            f"{old}: name of Airflow 1 or 2",
            f"`{old}` is gone in Airflow 3.",
            f"It was read as `{new}`.",
            "Use the new name.",
        )

    def _waits_for(self, task_id: str) -> bool:
        pending, seen = list(self.facts.upstream), set[str]()
        while pending:
            name = pending.pop()
            if name == task_id:
                return True
            facts = None if name in seen else self.around.dag.task(name)
            seen.add(name)
            pending.extend(facts.upstream if facts is not None else ())
        return False

    def _pull(self, task_id: str, path: tuple[int, ...]) -> str:
        if not self._waits_for(task_id):
            self.find(
                "AF202",
                f"pulls from {task_id}, which is not upstream",
                f"The template pulls the result of `{task_id}` without waiting for it: a race, in Airflow as here.",
                remedy=f"Put {task_id} before this task.",
            )
            raise UntranslatableError(f"ti.xcom_pull({task_id!r}) from a task that is not upstream")
        reference = pulled_reference(self.around.dag, task_id, path)
        if reference is None:
            raise UntranslatableError(f"ti.xcom_pull({task_id!r}){''.join(f'[{number}]' for number in path)}")
        self.pulled[task_id] = reference
        return reference


def source_line(facts: TaskFacts) -> int | None:
    """Decorated tasks stand where their function does, all others where the expression that made them begins."""
    if facts.callable is not None and any("Decorated" in each.name for each in facts.classes[:1]):
        return facts.callable.line
    if facts.is_mapped and facts.file is not None and facts.line is not None:
        return _calls(facts.file).get(facts.line, facts.line)
    return facts.line


@lru_cache(maxsize=64)
def _calls(file: Path) -> Mapping[int, int]:
    """Say for each line of a `.partial(...).expand(...)` chain where the chain begins."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[int, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("expand"):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found[line] = min(found.get(line, node.lineno), node.lineno)
    return found
