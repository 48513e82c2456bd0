"""The report for a pull request: what moves, what to decide, what to mend; then everything in full."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from pgdurable_core.importing.files import stamp
from pgdurable_core.importing.findings import FIDELITIES, HOMES, Finding
from pgdurable_core.importing.protocol import ImportedTask, ImportedWorkflow, ReadFacts, ReadResult
from pgdurable_core.importing.report.model import Totals, all_tasks, of_weight, readiness, totals

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_FILL = {"native": "#d8efe3", "worker": "#dbe7fb", "operator": "#fdebd0", "airflow": "#eeeeee", "blocked": "#f8d7da"}


def render_markdown(result: ReadResult, folder: str = "workflows") -> str:
    """Write the report; `folder` is where the files are, as commands name it.

    It holds no date and no time spent, so equal readings are equal text.
    """
    sections: list[str] = []
    if len(result.imports) != 1 or result.failures:
        sections.append(_folder(result))
    sections.extend(
        _workflow(workflow, result, anchor, folder)
        for workflow, anchor in zip(result.imports, _anchors(result.imports), strict=True)
    )
    return stamp("\n".join(sections), "<!--", " -->")


def _folder(result: ReadResult) -> str:
    ready = sum(not workflow.is_blocked for workflow in result.imports)
    lines = [
        f"# {ready} of {len(result.imports)} workflows can run on pgdurable; {len(result.failures)} files failed.",
        "",
        *_table(totals(all_tasks(result))),
        "",
    ]
    if result.failures:
        lines += ["**Files that gave no workflow**", ""]
        for number, failure in enumerate(result.failures, 1):
            finding = failure.finding
            words = f"{_text(finding.what).rstrip('.')}. {_text(finding.remedy)}".rstrip()
            lines.append(f"{number}. `{finding.place or failure.path}` {finding.code}: {words}")
        lines.append("")
    if len(result.imports) > 1:
        lines += ["| workflow | tasks | readiness | file |", "|---|--:|---|---|"]
        for workflow, anchor in zip(result.imports, _anchors(result.imports), strict=True):
            link = f"[{workflow.name}](#{anchor})"
            lines.append(f"| {link} | {len(workflow.tasks)} | {readiness(workflow)} | {workflow.source} |")
        lines.append("")
    return "\n".join(lines)


def _workflow(workflow: ImportedWorkflow, result: ReadResult, anchor: str, folder: str) -> str:
    blocked, decide = of_weight(workflow, "blocked"), of_weight(workflow, "decide")
    mend, changed = of_weight(workflow, "mend"), of_weight(workflow, "changed")
    lines = [
        *([f'<a id="{anchor}"></a>', ""] if len(result.imports) > 1 else []),
        f"# {_headline(workflow)}",
        "",
        *_table(totals(workflow.tasks)),
        "",
    ]
    lines += _numbered("Blocked", "cannot run on this version", blocked)
    lines += _numbered("Decide", "", decide)
    lines += _numbered("Mend in the DAG", "wrong at the source today, imported unchanged", mend)
    if changed:
        parts = [
            f"{f'`{finding.task}` ' if finding.task else ''}{_text(finding.short)} ({finding.code})"
            for finding in changed
        ]
        lines += [f"**Changed on the way, same outcome**: {' · '.join(parts)}", ""]
    lines += [f"**Schedule**: {_schedule(workflow)}", ""]
    lines += [f"**The target must have**: {_needs(workflow)}", ""]
    lines += [f"**Proved**: {_proved(workflow)}", ""]
    if workflow.is_blocked:
        written = "only a draft" if workflow.files else "nothing"
        lines += [
            f"**Do first**: what is listed under Blocked; then import again. Until then {written} is written.",
            "",
        ]
    else:
        lines += [f"**Do first**: `pgdurable deploy {shlex.quote(folder)}/ --env dev`", ""]
    lines += [f"**Assumed**: {_assumed(result.facts, result)}", ""]
    lines += ["## Graph", "", *_mermaid(workflow), ""]
    lines += ["## Tasks", "", *_tasks(workflow), ""]
    lines += ["## Findings", "", *_findings(workflow)]
    return "\n".join(lines)


def _headline(workflow: ImportedWorkflow) -> str:
    blocked, decide = len(of_weight(workflow, "blocked")), len(of_weight(workflow, "decide"))
    mend = len(of_weight(workflow, "mend"))
    if blocked:
        return f"{workflow.name} cannot run on pgdurable yet: {_things(blocked)} in the way."
    parts = []
    if decide:
        parts.append(f"{_things(decide)} to decide")
    if mend:
        parts.append(f"{_number(mend) if decide else _things(mend)} to mend in the DAG")
    whole = ", ".join(parts)
    rest = f" {whole[:1].upper()}{whole[1:]}." if parts else " Nothing to decide."
    return f"{workflow.name} can run on pgdurable today.{rest}"


def _table(counted: Totals) -> list[str]:
    heads = ["tasks", *HOMES, *FIDELITIES]
    numbers = [counted.tasks, *counted.homes.values(), *counted.fidelities.values()]
    return [
        f"| {' | '.join(heads)} |",
        f"|{'--:|' * len(heads)}",
        f"| {' | '.join(str(number) for number in numbers)} |",
    ]


def _numbered(title: str, about: str, findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    lines = [f"**{title}**{f' ({about})' if about else ''}"]
    for number, finding in enumerate(findings, 1):
        subject = f"`{finding.task}`" if finding.task else "DAG"
        place = f" {finding.place}" if finding.place else ""
        words = " ".join(_text(part) for part in (finding.what, finding.happens, finding.remedy) if part)
        lines.append(f"{number}. {subject}{place}, {finding.code}: {words}")
    return [*lines, ""]


def _schedule(workflow: ImportedWorkflow) -> str:
    return workflow.schedule.words


def _needs(workflow: ImportedWorkflow) -> str:
    needs = workflow.needs
    parts = []
    for noun, names in (
        ("connection", needs.connections),
        ("Variable", needs.variables),
        ("pool", needs.pools),
        ("package", needs.packages),
        ("binary", needs.binaries),
    ):
        if names:
            plural = noun if len(names) == 1 else ("binaries" if noun == "binary" else f"{noun}s")
            parts.append(f"{plural} {', '.join(f'`{name}`' for name in names)}")
    rights = []
    if needs.reads:
        rights.append(f"select {', '.join(needs.reads)}")
    if needs.writes:
        rights.append(f"write {', '.join(needs.writes)}")
    if rights:
        parts.append(f"rights: {'; '.join(rights)}")
    return " · ".join(parts) or "nothing beyond pgdurable"


def _proved(workflow: ImportedWorkflow) -> str:
    lifted = [finding for finding in workflow.findings if finding.code == "AF160"]
    parts = ["structure and arguments read from the live objects: yes"]
    if lifted:
        parts.append("lifted branches equal for every value: yes")
    return " · ".join([*parts, "render, run and data **not run**"])


def _assumed(facts: ReadFacts, result: ReadResult) -> str:
    files = f"{len(result.failures)} of {facts.files} files failed"
    return "; ".join([f"{facts.system} {facts.how.split(' with ')[0]}", *facts.assumed, files]) + "."


def _mermaid(workflow: ImportedWorkflow) -> list[str]:
    ids = {task.key: f"t{number}" for number, task in enumerate(workflow.tasks)}
    lines = ["```mermaid", "flowchart LR"]
    for task in workflow.tasks:
        label = f"{task.key}{'[]' if task.is_mapped else ''}"
        lines.append(f'    {ids[task.key]}["{label}"]:::{"blocked" if task.fidelity == "blocked" else task.home}')
    lines += [f"    {ids[up]} --> {ids[task.key]}" for task in workflow.tasks for up in task.after if up in ids]
    used = {"blocked" if task.fidelity == "blocked" else task.home for task in workflow.tasks}
    lines += [f"    classDef {name} fill:{fill},stroke:#555,color:#111" for name, fill in _FILL.items() if name in used]
    return [*lines, "```"]


def _tasks(workflow: ImportedWorkflow) -> list[str]:
    lines = [
        "| task | becomes | home | fidelity | rule | after | operator | source | findings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_task_row(task) for task in workflow.tasks)]


def _task_row(task: ImportedTask) -> str:
    name = f"{task.key}[]" if task.is_mapped else task.key
    cells = (
        f"`{name}`",
        task.becomes,
        task.home,
        task.fidelity,
        task.rule,
        ", ".join(task.after),
        task.operator,
        task.source or "",
        ", ".join(task.codes),
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _findings(workflow: ImportedWorkflow) -> list[str]:
    if not workflow.findings:
        return ["None.", ""]
    lines: list[str] = []
    for finding in workflow.findings:
        subject = f"`{finding.task}`" if finding.task else "the DAG"
        lines += [f"### {finding.code} {subject}: {_text(finding.short)}", ""]
        lines += [f"- **{finding.weight}**{f', {finding.place}' if finding.place else ''}"]
        lines += _parts(
            (("What it is", finding.what), ("What happens", finding.happens), ("What to do", finding.remedy))
        )
        lines.append("")
    return lines


def _parts(parts: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- {label}: {_text(text)}" for label, text in parts if text]


def _text(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _anchors(workflows: Sequence[ImportedWorkflow]) -> list[str]:
    """Name the places of workflows in the report; a later namesake is counted."""
    seen: Counter[str] = Counter()
    anchors = []
    for workflow in workflows:
        name = re.sub(r"[^a-z0-9_-]", "-", workflow.name.lower())
        seen[name] += 1
        anchors.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return anchors


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _things(number: int) -> str:
    return f"{_number(number)} thing{'' if number == 1 else 's'}"
