"""The report for a pull request: what moves, what to decide, what to mend; then everything in full."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pgdurable_core.graph.model import DEFAULT_RULE
from pgdurable_core.importing.files import stamp
from pgdurable_core.importing.findings import FIDELITIES, HOMES, Finding
from pgdurable_core.importing.protocol import ImportedTask, Needs, ReadFailure
from pgdurable_core.importing.report.model import Report, Totals, WorkflowReport, totals_of
from pgdurable_core.importing.report.words import both, count, joined, number, things

_FILL: Final = {
    "native": "#d8efe3",
    "worker": "#dbe7fb",
    "operator": "#fdebd0",
    "airflow": "#eeeeee",
    "blocked": "#f8d7da",
}
_NAMED: Final = 4
_CELL: Final = 60


def render_markdown(report: Report) -> str:
    """Write the report. It holds no date and no time spent, so equal readings are equal text."""
    anchors = _anchors(report.workflows)
    sections: list[str] = []
    if len(report.workflows) != 1 or report.failures:
        sections.append("\n".join(_folder(report, anchors)))
    sections.extend(
        "\n".join(_workflow(workflow, report, anchor))
        for workflow, anchor in zip(report.workflows, anchors, strict=True)
    )
    return stamp("\n".join(sections), "<!--", " -->")


def _folder(report: Report, anchors: Sequence[str]) -> Iterator[str]:
    ready = sum(not workflow.is_blocked for workflow in report.workflows)
    failed = count(len(report.failures), "file") + " failed"
    yield f"# {ready} of {count(len(report.workflows), 'workflow')} can run on pgdurable; {failed}."
    yield ""
    yield from _table(report.totals)
    yield ""
    if report.failures:
        yield "**Files that gave no workflow**"
        yield ""
        for place, failure in enumerate(report.failures, 1):
            yield f"{place}. {_failed(failure)}"
        yield ""
    if obstacles := _obstacles(report):
        yield f"**Most often in the way**: {obstacles}"
        yield ""
    yield f"**Assumed**: {_assumed(report)}"
    yield ""
    if len(report.workflows) > 1:
        yield "| workflow | tasks | with a home | readiness | file |"
        yield "|---|--:|--:|---|---|"
        for workflow, anchor in zip(report.workflows, anchors, strict=True):
            counted = totals_of(workflow)
            cells = (
                f"[{_plain(workflow.name)}](#{anchor})",
                str(counted.tasks),
                str(counted.with_home),
                workflow.readiness,
                f"`{workflow.source}`",
            )
            yield f"| {' | '.join(map(_cell, cells))} |"
        yield ""


def _obstacles(report: Report) -> str:
    """Name what blocks most, so that one knows which change moves most tasks."""
    blocked = [finding for workflow in report.workflows for finding in workflow.of_weight("blocked")]
    counted = Counter((finding.code, finding.short) for finding in blocked)
    return " · ".join(
        f"{_plain(short)} ({code}) {times} times" for (code, short), times in counted.most_common(_NAMED) if times > 1
    )


def _failed(failure: ReadFailure) -> str:
    finding = failure.finding
    words = f"{_plain(finding.what).rstrip('.')}. {_plain(finding.remedy)}".rstrip()
    return f"`{finding.place or failure.path}` {finding.code}: {words}"


def _workflow(workflow: WorkflowReport, report: Report, anchor: str) -> Iterator[str]:
    if len(report.workflows) > 1:
        yield from (f'<a id="{anchor}"></a>', "")
    yield from (f"# {_headline(workflow)}", "")
    yield from (*_table(totals_of(workflow)), "")
    yield from _listed("Blocked", "cannot run on this version", workflow.of_weight("blocked"))
    yield from _listed("Decide", "", workflow.of_weight("decide"))
    yield from _listed("Mend in the DAG", "wrong at the source today, imported unchanged", workflow.of_weight("mend"))
    for title, text in (
        ("Changed on the way, same outcome", _changed(workflow)),
        ("Schedule", _plain(workflow.schedule.words)),
        ("The target must have", _needs(workflow.needs)),
        ("Proved", _proved(workflow)),
        ("Do first", _first(workflow, report.folder)),
        ("Assumed", _assumed(report)),
    ):
        if text:
            yield from (f"**{title}**: {text}", "")
    yield from ("## Graph", "", *_mermaid(workflow), "")
    yield from ("## Tasks", "", *_tasks(workflow), "")
    yield from ("## Findings", "", *_findings(workflow))


def _headline(workflow: WorkflowReport) -> str:
    blocked, decide, mend = (len(_alike(workflow.of_weight(weight))) for weight in ("blocked", "decide", "mend"))
    name = _plain(workflow.name)
    if blocked:
        return f"{name} cannot run on pgdurable yet: {things(blocked)} in the way."
    parts = []
    if decide:
        parts.append(f"{things(decide)} to decide")
    if mend:
        parts.append(f"{number(mend) if decide else things(mend)} to mend in the DAG")
    whole = ", ".join(parts) or "nothing to decide"
    return f"{name} can run on pgdurable today. {whole[:1].upper()}{whole[1:]}."


def _table(counted: Totals) -> Iterator[str]:
    """Write homes down and fidelities across; a home without tasks has no row."""
    yield f"| home | tasks | {' | '.join(FIDELITIES)} |"
    yield f"|---|--:|{'--:|' * len(FIDELITIES)}"
    homes = [home for home in HOMES if counted.homes[home]]
    for home in homes:
        numbers = (counted.homes[home], *(counted.cells[home, fidelity] for fidelity in FIDELITIES))
        yield f"| {home} | {' | '.join(map(str, numbers))} |"
    if len(homes) != 1:
        numbers = (counted.tasks, *counted.fidelities.values())
        yield f"| **all** | {' | '.join(f'**{each}**' for each in numbers)} |"


def _listed(title: str, about: str, findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield f"**{title}**{f' ({about})' if about else ''}"
    for place, alike in enumerate(_alike(findings), 1):
        first = alike[0]
        words = " ".join(_plain(part) for part in (first.what, first.happens, first.remedy) if part)
        yield f"{place}. {_subjects(alike)}, {first.code}: {words}"
    yield ""


def _alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put findings together that say the same of several tasks."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        said = (finding.code, finding.short, finding.what, finding.happens, finding.remedy)
        groups.setdefault(said, []).append(finding)
    return list(groups.values())


def _subjects(alike: Sequence[Finding]) -> str:
    parts = [
        f"{f'`{finding.task}`' if finding.task else 'DAG'}{f' {_plain(finding.place)}' if finding.place else ''}"
        for finding in alike[:_NAMED]
    ]
    more = len(alike) - _NAMED
    return both([*parts, *([f"{more} more"] if more > 0 else [])])


def _changed(workflow: WorkflowReport) -> str:
    blocked = {task.key for task in workflow.tasks if task.fidelity == "blocked"}
    findings = [finding for finding in workflow.of_weight("changed") if finding.task not in blocked]
    groups: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        groups.setdefault((finding.code, finding.short), []).append(f"`{finding.task}`" if finding.task else "the DAG")
    parts = []
    for (code, short), subjects in groups.items():
        more = len(subjects) - _NAMED
        shown = both([*subjects[:_NAMED], *([f"{more} more"] if more > 0 else [])])
        parts.append(f"{shown} {_plain(short)} ({code})")
    return " · ".join(parts)


def _needs(needs: Needs) -> str:
    parts = []
    for one, many, names in (
        ("connection", "connections", needs.connections),
        ("Variable", "Variables", needs.variables),
        ("pool", "pools", needs.pools),
        ("package", "packages", needs.packages),
        ("binary", "binaries", needs.binaries),
    ):
        if names:
            parts.append(f"{one if len(names) == 1 else many} {joined(f'`{name}`' for name in names)}")
    rights = []
    if needs.reads:
        rights.append(f"select {joined(needs.reads)}")
    if needs.writes:
        rights.append(f"write {joined(needs.writes)}")
    if needs.truncates:
        rights.append(f"truncate {joined(needs.truncates)}")
    if needs.calls:
        rights.append(f"execute {joined(needs.calls)} (and what it takes inside)")
    if rights:
        parts.append(f"rights: {'; '.join(map(_plain, rights))}")
    if needs.unread:
        parts.append(f"**and what cannot be read from the SQL of** {joined(f'`{name}`' for name in needs.unread)}")
    return " · ".join(parts) or "nothing beyond pgdurable"


def _proved(workflow: WorkflowReport) -> str:
    proved = [
        f"{proof.gate} yes{f', {proof.how}' if proof.how else ''}" for proof in workflow.proofs if proof.is_proved
    ]
    others = [
        f"{proof.gate}{f' ({proof.how})' if proof.how else ''}" for proof in workflow.proofs if not proof.is_proved
    ]
    return " · ".join([*proved, *([f"**not proved**: {joined(others)}"] if others else [])])


def _first(workflow: WorkflowReport, folder: str) -> str:
    if not workflow.is_blocked:
        return f"`pgdurable deploy {shlex.quote(folder)}/ --env dev`"
    written = "only a draft" if workflow.files else "nothing"
    return f"what is listed under Blocked; then import again. Until then {written} is written."


def _assumed(report: Report) -> str:
    facts = report.facts
    files = f"{len(report.failures)} of {facts.files} files failed"
    return _plain("; ".join([f"{facts.system} {facts.how.split(' with ')[0]}", *facts.assumed, files]) + ".")


def _mermaid(workflow: WorkflowReport) -> Iterator[str]:
    ids = {task.key: f"t{place}" for place, task in enumerate(workflow.tasks)}
    yield from ("```mermaid", "flowchart LR")
    for task in workflow.tasks:
        label = f"{task.key}{'[]' if task.is_mapped else ''}"
        yield f'    {ids[task.key]}["{label}"]:::{_colour(task)}'
    for task in workflow.tasks:
        for up in task.after:
            if up in ids:
                yield f"    {ids[up]} --> {ids[task.key]}"
    used = {_colour(task) for task in workflow.tasks}
    for name, fill in _FILL.items():
        if name in used:
            yield f"    classDef {name} fill:{fill},stroke:#555,color:#111"
    yield "```"


def _colour(task: ImportedTask) -> str:
    return "blocked" if task.fidelity == "blocked" else task.home


def _tasks(workflow: WorkflowReport) -> Iterator[str]:
    yield "| task | home | fidelity | becomes | runs | source | after | findings | operator |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for task in workflow.tasks:
        cells = (
            f"`{task.key}{'[]' if task.is_mapped else ''}`",
            task.home,
            task.fidelity,
            _plain(task.becomes),
            _code(workflow.runs.get(task.key, "")),
            _plain(task.source or ""),
            _plain(_after(task)),
            ", ".join(task.codes),
            _plain(task.operator),
        )
        yield f"| {' | '.join(map(_cell, cells))} |"


def _after(task: ImportedTask) -> str:
    """Write the tasks before this one, and the rule where it is not the usual one."""
    rule = "" if task.rule == DEFAULT_RULE else f"({task.rule})"
    return " ".join(part for part in (joined(task.after), rule) if part)


def _findings(workflow: WorkflowReport) -> Iterator[str]:
    if not workflow.findings:
        yield from ("None.", "")
    for finding in workflow.findings:
        subject = f"`{finding.task}`" if finding.task else "the DAG"
        yield from (f"### {finding.code} {subject}: {_plain(finding.short)}", "")
        yield f"- **{finding.weight}**{f', {_plain(finding.place)}' if finding.place else ''}"
        for label, text in (
            ("What it is", finding.what),
            ("What happens", finding.happens),
            ("What to do", finding.remedy),
        ):
            if text:
                yield f"- {label}: {_plain(text)}"
        yield ""


def _anchors(workflows: Sequence[WorkflowReport]) -> list[str]:
    """Name the places of workflows in the report; a later namesake is counted."""
    seen: Counter[str] = Counter()
    anchors = []
    for workflow in workflows:
        name = re.sub(r"[^a-z0-9_-]", "-", workflow.name.lower())
        seen[name] += 1
        anchors.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return anchors


def _plain(text: str) -> str:
    """Write a text on one line, so that nothing in it becomes markup; what stands in backticks is code already."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text).strip())
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<\[\]])", _escaped, part) for part in parts)


def _escaped(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    # An underscore inside of a word is no markup (CommonMark 6.2), and names read better without a backslash.
    inside = start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum()
    return match[0] if match[0] == "_" and inside else f"\\{match[0]}"


def _code(text: str) -> str:
    """Write a text as code in a table's cell: one line, cut, fenced by more backticks than it holds."""
    line = re.sub(r"\s+", " ", text).strip()
    if not line:
        return ""
    line = line if len(line) <= _CELL else f"{line[: _CELL - 1].rstrip()}…"
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
