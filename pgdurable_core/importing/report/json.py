"""The report for machines, version 1: Report <-> JSON document; `report.schema.json` says the same as a schema.

The key `pgdurable_report` is the version: another shape is another version. `run` is there only in what `pgdurable
import --run` prints. Numbers that follow from the tasks (`totals`, `readiness`) are written for others and computed
again when a document is read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from importlib.resources import files
from typing import Final, TypeVar, cast

from pgdurable_core.errors import UsageError
from pgdurable_core.graph.model import JsonValue
from pgdurable_core.importing.files import stamp_document
from pgdurable_core.importing.findings import FIDELITIES, HOMES, WEIGHTS, Finding
from pgdurable_core.importing.protocol import ImportedTask, Needs, Proof, ReadFacts, ReadFailure, ScheduleFacts
from pgdurable_core.importing.report.model import Report, Totals, WorkflowReport, totals_of

VERSION: Final = 1
_ALWAYS: Final = ("code", "weight", "short", "what")

Word = TypeVar("Word", bound=str)
Value = TypeVar("Value")


def render_json(report: Report) -> str:
    """Write the report as one JSON document; equal reports are equal text."""
    return stamp_document(report_to_document(report))


def report_to_document(report: Report) -> dict[str, object]:
    """Write the document: what is empty stays out of findings alone, where most of it is."""
    facts = report.facts
    return {
        "pgdurable_report": VERSION,
        "system": facts.system,
        "how": facts.how,
        "assumed": list(facts.assumed),
        "folder": report.folder,
        "files": {"found": facts.files, "failed": len(report.failures), "read_with_them": facts.extra_files},
        "callbacks": facts.callbacks,
        "totals": _totals(report.totals),
        "workflows": [_workflow(workflow) for workflow in report.workflows],
        "failures": [{"path": failure.path, "finding": _finding(failure.finding)} for failure in report.failures],
        "findings": [_finding(finding) for finding in report.findings],
    }


def load_report(text: str, name: str = "the report") -> Report:
    """Read a document. Raises UsageError when it is none, when it is of a newer version, and when it is damaged."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}") from error
    version = document.get("pgdurable_report") if isinstance(document, dict) else None
    if type(version) is not int or version < 1:
        raise UsageError(f"{name} is no report of pgdurable", hint="`pgdurable import` writes report.json.")
    if version > VERSION:
        raise UsageError(
            f"{name} is of version {version}, and this pgdurable reads version {VERSION}",
            hint="Render it with the pgdurable that wrote it, or a newer one.",
        )
    try:
        return _report(_Reader(document, ""))
    except _DamagedError as error:
        raise UsageError(f"{name} is damaged at {error}") from error


def report_schema() -> dict[str, JsonValue]:
    """Read the JSON Schema (draft 2020-12) of the document, as shipped with the package."""
    text = files("pgdurable_core.importing.report").joinpath("report.schema.json").read_text("utf-8")
    return cast(dict[str, JsonValue], json.loads(text))


def _totals(counted: Totals) -> dict[str, object]:
    return {
        "tasks": counted.tasks,
        "with_home": counted.with_home,
        "homes": dict(counted.homes),
        "fidelities": dict(counted.fidelities),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {key: value for key, value in asdict(finding).items() if key in _ALWAYS or value not in (None, "")}


def _workflow(workflow: WorkflowReport) -> dict[str, object]:
    return {
        "name": workflow.name,
        "source": workflow.source,
        "source_hash": workflow.source_hash,
        "readiness": workflow.readiness,
        "schedule": workflow.schedule.words,
        "totals": _totals(totals_of(workflow)),
        "tasks": [{**asdict(task), "runs": workflow.runs.get(task.key)} for task in workflow.tasks],
        "findings": [_finding(finding) for finding in workflow.findings],
        "needs": asdict(workflow.needs),
        "proofs": [asdict(proof) for proof in workflow.proofs],
        "modules": dict(workflow.modules),
        "files": list(workflow.files),
    }


class _DamagedError(Exception):
    """The place (a JSON pointer) and what was expected there."""


class _Reader:
    """One object of the document, read key by key; what is not as it must be is named with its place."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            raise _DamagedError(f"{place or '/'}: an object is expected")
        self.value = value
        self.place = place

    def get(self, key: str, kind: type[Value]) -> Value:
        """Read a value of exactly this type."""
        found = self.value.get(key)
        if type(found) is not kind:
            raise _DamagedError(f"{self.place}/{key}: {_KINDS[kind]} is expected")
        return found

    def maybe(self, key: str, kind: type[Value]) -> Value | None:
        """Read a value that may be null or absent."""
        return None if self.value.get(key) is None else self.get(key, kind)

    def word(self, key: str, words: Sequence[Word]) -> Word:
        """Read one of a closed set of words."""
        found = self.get(key, str)
        if found not in words:
            raise _DamagedError(f"{self.place}/{key}: one of {', '.join(words)} is expected")
        return cast(Word, found)

    def each(self, key: str, read: "Callable[[_Reader], Value]") -> tuple[Value, ...]:
        """Read a list of objects."""
        return tuple(
            read(_Reader(item, f"{self.place}/{key}/{number}")) for number, item in enumerate(self.get(key, list))
        )

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts."""
        found = self.get(key, list)
        for number, item in enumerate(found):
            if not isinstance(item, str):
                raise _DamagedError(f"{self.place}/{key}/{number}: a text is expected")
        return tuple(found)

    def named(self, key: str) -> dict[str, str]:
        """Read an object of texts."""
        inner = self.inner(key)
        return {name: inner.get(name, str) for name in inner.value}

    def inner(self, key: str) -> "_Reader":
        """Read an object."""
        return _Reader(self.value.get(key), f"{self.place}/{key}")


_KINDS: Final[dict[type, str]] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
}


def _report(document: _Reader) -> Report:
    found = document.inner("files")
    return Report(
        facts=ReadFacts(
            system=document.get("system", str),
            how=document.get("how", str),
            assumed=document.texts("assumed"),
            files=found.get("found", int),
            extra_files=found.get("read_with_them", int),
            callbacks=document.get("callbacks", int),
        ),
        workflows=document.each("workflows", _read_workflow),
        failures=document.each(
            "failures", lambda one: ReadFailure(one.get("path", str), _read_finding(one.inner("finding")))
        ),
        findings=document.each("findings", _read_finding),
        folder=document.get("folder", str),
    )


def _read_workflow(document: _Reader) -> WorkflowReport:
    tasks = document.each("tasks", lambda task: (_read_task(task), task.maybe("runs", str)))
    needs = document.inner("needs")
    return WorkflowReport(
        name=document.get("name", str),
        source=document.get("source", str),
        source_hash=document.get("source_hash", str),
        schedule=ScheduleFacts(document.get("schedule", str)),
        tasks=tuple(task for task, _ in tasks),
        findings=document.each("findings", _read_finding),
        runs={task.key: text for task, text in tasks if text is not None},
        needs=Needs(**{field.name: needs.texts(field.name) for field in fields(Needs)}),
        proofs=document.each(
            "proofs", lambda proof: Proof(proof.get("gate", str), proof.get("is_proved", bool), proof.get("how", str))
        ),
        modules=document.named("modules"),
        files=document.texts("files"),
    )


def _read_task(document: _Reader) -> ImportedTask:
    return ImportedTask(
        key=document.get("key", str),
        becomes=document.get("becomes", str),
        home=document.word("home", HOMES),
        fidelity=document.word("fidelity", FIDELITIES),
        after=document.texts("after"),
        rule=document.get("rule", str),
        operator=document.get("operator", str),
        source=document.maybe("source", str),
        codes=document.texts("codes"),
        is_mapped=document.get("is_mapped", bool),
    )


def _read_finding(document: _Reader) -> Finding:
    return Finding(
        code=document.get("code", str),
        weight=document.word("weight", WEIGHTS),
        short=document.get("short", str),
        what=document.get("what", str),
        happens=document.maybe("happens", str) or "",
        remedy=document.maybe("remedy", str) or "",
        dag=document.maybe("dag", str),
        task=document.maybe("task", str),
        file=document.maybe("file", str),
        line=document.maybe("line", int),
        column=document.maybe("column", int),
    )
