"""What the core knows of an importer: four hooks, and the values that pass through them.

`read` turns source files into graphs and findings. `oracle` answers as the source system itself would (structure,
schedule, rendering), for proofs by equality. `live` speaks to a running source system, `cutover` moves a workflow
over. An importer that does not offer a hook raises `NotSupportedHereError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pgdurable_core.graph.model import Graph, JsonValue
from pgdurable_core.importing.findings import Fidelity, Finding, FindingCode, Home

if TYPE_CHECKING:
    from pgdurable_core.graph.emit.sql import Notes


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read; every default is the careful one.

    `names` keeps only these workflows. `python` is the interpreter that executes the source files (the source system
    must be importable there), `config`, `variables` and `connections` are files of the source system. `as_of` is where
    the clock stands while the files are executed. `slice_code` copies callables that can stand alone out of their
    module. `static` reads by syntax alone: nothing of the source runs, and the source system need not be there.
    `folder` is where the files will be, as their comments name it. `time_limit` (seconds) and `memory_limit` (MiB)
    hold per file.
    """

    names: tuple[str, ...] = ()
    python: Path | None = None
    config: Path | None = None
    variables: Path | None = None
    connections: Path | None = None
    as_of: datetime | None = None
    slice_code: bool = False
    static: bool = False
    folder: str = "workflows"
    time_limit: float = 60.0
    memory_limit: int = 4096


@dataclass(frozen=True, slots=True)
class ImportedTask:
    """One task of the source and what became of it; every task read has exactly one of these.

    `becomes` is for people (`sql, one transaction`). `codes` names its findings. `is_mapped` tasks run once per row.
    """

    key: str
    becomes: str
    home: Home
    fidelity: Fidelity
    after: tuple[str, ...]
    rule: str
    operator: str
    source: str | None
    codes: tuple[str, ...] = ()
    is_mapped: bool = False


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """A file to write, `path` relative to the output folder."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """A Python module the graph pins. `path` is None for one that the import itself wrote (a slice)."""

    text: str
    digest: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """The schedule in words, and what switching it on would do at `as_of`."""

    words: str
    next_run: str | None = None
    past_runs: int | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What the target must have for this workflow to run.

    `reads`, `writes` and `truncates` are tables, `calls` functions of the user's own, as the SQL names them. `unread`
    are the steps whose SQL could not be read for this, so that these lists may lack something.
    """

    connections: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    binaries: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    truncates: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that could be shown about a workflow (`structure`, `render`, `run`), and whether this import did."""

    gate: str
    is_proved: bool
    how: str = ""


@dataclass(frozen=True, slots=True)
class ImportedWorkflow:
    """One workflow of the source, wholly accounted for: `len(tasks)` is the number of tasks the source has.

    `graph` holds a step per task. A blocked task's step raises its reason when run, and a workflow with one
    (`is_blocked`) must not be deployed: its SQL is written as `<name>.sql.draft`.
    `modules` are the Python files the graph pins, by module name; `df.set_module` takes their text.
    """

    name: str
    graph: Graph
    notes: "Notes"
    tasks: tuple[ImportedTask, ...]
    findings: tuple[Finding, ...]
    files: tuple[WorkflowFile, ...]
    source: str
    source_hash: str
    schedule: ScheduleFacts
    needs: Needs = Needs()
    modules: Mapping[str, ModuleSource] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Say whether something in it cannot run, so that it must not be deployed."""
        return any(finding.weight == "blocked" for finding in self.findings)

    def findings_of(self, task: str) -> tuple[Finding, ...]:
        """List the findings of one task, in the order in which they were made."""
        return tuple(finding for finding in self.findings if finding.task == task)


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A file that gave no workflow, and why."""

    path: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class ReadFacts:
    """How the reading itself went: shown in the header of every report.

    `system` is the source system with its version (`Airflow 3.3.2`), `assumed` what was taken for granted, one
    sentence each. `seconds` is for the terminal alone; no file holds it.
    """

    system: str
    how: str
    assumed: tuple[str, ...] = ()
    files: int = 0
    extra_files: int = 0
    callbacks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadResult:
    """All of one reading. Workflows are in the order of files, then of their names; parsed and failed files add up.

    `sources` are the files that were read in full, as `ImportedWorkflow.source` writes them, each with the names of the
    workflows in it; `folders` were read with all there is below them. Both are empty when only some were asked for.
    """

    imports: tuple[ImportedWorkflow, ...]
    failures: tuple[ReadFailure, ...]
    facts: ReadFacts
    findings: tuple[Finding, ...] = ()
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Say whether the command that read this must end with status 1."""
        return bool(self.failures) or any(workflow.is_blocked for workflow in self.imports)


@dataclass(frozen=True, slots=True)
class SourceStep:
    """A task as the source system has it, for the structure gate."""

    key: str
    upstream: frozenset[str]
    rule: str
    retries: int


class Oracle(Protocol):
    """The source system's own answers about one workflow."""

    def structure(self) -> Sequence[SourceStep]:
        """List every task with its upstreams, rule and retries."""

    def render(self, key: str, logical_date: datetime) -> Mapping[str, JsonValue]:
        """Render a task's template fields as the source system would on that date."""


class Live(Protocol):
    """A running source system; no importer of this version offers one."""


class Cutover(Protocol):
    """The steps that move one workflow over; no importer of this version offers one."""


class Importer(Protocol):
    """An importer, found through the entry-point group `pgdurable.importers`."""

    @property
    def name(self) -> str:
        """The word after `pgdurable import`."""

    @property
    def codes(self) -> Mapping[str, FindingCode]:
        """Every finding code this importer can raise."""

    def read(self, paths: Sequence[Path], options: ReadOptions = ...) -> ReadResult:
        """Read files and folders. One bad file never stops the others; it becomes a failure."""

    def oracle(self, workflow: ImportedWorkflow) -> Oracle:
        """Answer as the source system would, or raise NotSupportedHereError."""

    def live(self, url: str) -> Live:
        """Speak to a running source system, or raise NotSupportedHereError."""

    def cutover(self, plan: Path) -> Cutover:
        """Move workflows over, or raise NotSupportedHereError."""
