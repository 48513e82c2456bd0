"""The files of one workflow, and the words at the top of its SQL."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence

from pgdurable_airflow.importer.facts import CallableFacts
from pgdurable_airflow.importer.rules.slicing import slice_text
from pgdurable_core.graph.document import dump_graph
from pgdurable_core.graph.emit.sql import Notes, emit_sql
from pgdurable_core.graph.model import Branch, Check, Graph, Sql
from pgdurable_core.importing.files import stamp
from pgdurable_core.importing.findings import Finding
from pgdurable_core.importing.protocol import ImportedTask, WorkflowFile
from pgdurable_core.importing.report.model import totals

_WORDS = {"decide": "REVIEW", "mend": "BUG", "blocked": "BLOCKED"}


def header_notes(
    graph: Graph,
    tasks: Sequence[ImportedTask],
    findings: Sequence[Finding],
    comments: Mapping[str, Sequence[str]],
    read_from: str,
    folder: str,
) -> Notes:
    """Write what stands above the statement and above steps."""
    title = " ".join((graph.doc or "").strip().partition("\n")[0].split())
    is_blocked = any(finding.weight == "blocked" for finding in findings)
    lines = [
        f"{graph.name}: {title[:1].lower() + title[1:]}" if title else graph.name,
        "",
        f"From    {read_from}",
        f"Homes   {_homes(tasks, graph)}",
    ]
    if opened := _open(findings):
        lines += textwrap.wrap(f"Open    {opened}; explained in report.md", 117, subsequent_indent="        ")
    if is_blocked:
        lines.append(
            "Apply   not yet: a draft. Steps marked BLOCKED fail with their reason; rename it when none is left"
        )
    else:
        file = shlex.quote(f"{folder}/{graph.name}.sql")
        lines.append(f"Apply   pgdurable deploy {file} --env dev (or psql -f); twice changes nothing; new = paused")
    lines.append("Edit    yes: `pgdurable import` leaves an edited file as it is, or stops and shows both sides")
    footer = _footer(graph)
    return Notes(header=tuple(lines), footer=(footer,) if footer else (), steps=_step_comments(findings, comments))


def workflow_files(graph: Graph, notes: Notes, is_blocked: bool) -> list[WorkflowFile]:
    """Write the SQL file and the document; a draft has no document, so that nothing deploys it by accident."""
    text = emit_sql(graph, notes)
    if is_blocked:
        return [WorkflowFile(f"{graph.name}.sql.draft", text)]
    document = dump_graph(graph)
    return [
        WorkflowFile(f"{graph.name}.sql", text),
        WorkflowFile(f"{graph.name}.graph.json", document if document.endswith("\n") else document + "\n"),
    ]


def slice_file(graph: Graph, source: str, callables: Sequence[CallableFacts], module: str) -> WorkflowFile:
    """Write the module of callables that were copied out."""
    text = stamp(slice_text(source, callables), "#")
    return WorkflowFile(f"{module.replace('.', '/')}.py", text)


def _homes(tasks: Sequence[ImportedTask], graph: Graph) -> str:
    counted = totals(tasks)
    words = {"native": "native", "worker": "worker", "operator": "needing Airflow", "airflow": "in Airflow"}
    parts = [f"{number} {words[home]}" for home, number in counted.homes.items() if number]
    if counted.homes["worker"] and all(task.becomes == "Python worker" for task in tasks if task.home == "worker"):
        number = counted.homes["worker"]
        parts = [
            part.replace(f"{number} worker", f"{number} Python worker{'' if number == 1 else 's'}") for part in parts
        ]
    callbacks = sum(run is not None for run in (graph.on_failure, graph.on_success))
    tail = f"; {callbacks} callback{'' if callbacks == 1 else 's'} kept, not run" if callbacks else ""
    return (", ".join(parts) or "none") + tail


def _open(findings: Sequence[Finding]) -> str:
    parts: list[str] = []
    for weight, word in _WORDS.items():
        names = dict.fromkeys(finding.task or finding.code for finding in findings if finding.weight == weight)
        if not names:
            continue
        shown = list(names)[:4]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        own = " (the DAG's own, kept as it is)" if weight == "mend" else ""
        parts.append(f"{word} {', '.join(shown)}{more}{own}")
    return "; ".join(parts)


def _step_comments(findings: Sequence[Finding], comments: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    written: dict[str, list[str]] = {key: list(lines) for key, lines in comments.items() if lines}
    for finding in findings:
        if finding.task is None or finding.weight not in _WORDS:
            continue
        lines = written.setdefault(finding.task, [])
        word = _WORDS[finding.weight]
        if any(line.startswith(f"{word} {finding.code}") for line in lines):
            continue
        remedy = f" Remedy: {finding.remedy[:1].lower()}{finding.remedy[1:]}" if finding.weight == "mend" else ""
        what = finding.what[:1].lower() + finding.what[1:] if finding.weight == "mend" else f"{finding.short}."
        lines.append(_ascii(f"{word} {finding.code}: {what}{remedy}"))
    return {key: tuple(_ascii(line) for line in lines) for key, lines in written.items()}


def _ascii(text: str) -> str:
    return " ".join(text.replace("…", "...").split(" ")).encode("ascii", "replace").decode()


def _footer(graph: Graph) -> str:
    texts = [step.run.sql for step in graph.steps if isinstance(step.run, Sql | Check | Branch)]
    whole = "\n".join(texts)
    parts = []
    if "{ds}" in whole:
        parts.append("{ds} is text where Jinja stood")
    names = [name for name in ("$params.", "$item.") if name in whole]
    if names:
        examples = [_example(whole, name) for name in names]
        verb = "is a value, quoted by its type" if len(examples) == 1 else "are values, quoted by their type"
        parts.append(f"{' and '.join(examples)} {verb}")
    return "; ".join(parts) + "." if parts else ""


def _example(text: str, start: str) -> str:
    rest = text[text.index(start) + len(start) :]
    end = next((number for number, letter in enumerate(rest) if not (letter.isalnum() or letter == "_")), len(rest))
    return start + rest[:end]
