"""What there is to say about a DAG as a whole: its options, its mistakes, and what was fixed while it was parsed."""

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.facts import (
    DagFacts,
    Fact,
    Row,
    callable_of,
    elements,
    first_unknown,
    is_absent,
    is_row,
    items,
    seconds,
)
from pgdurable_airflow.importer.link import trigger_rule
from pgdurable_airflow.importer.load.live import SENTINEL, JsonObject
from pgdurable_airflow.importer.task import Surroundings
from pgdurable_core.graph.model import Graph
from pgdurable_core.importing.findings import Finding, Weight

_PLACEHOLDERS: Final = ("pgdurable-missing-variable-", "pgdurable-missing-connection-")
_EVER: Final = frozenset({"all_done", "always", "all_done_setup_success"})

_NOT_ENFORCED: Final = {
    "max_active_runs": "It stands in the file. This version runs no schedules and does not enforce it: two runs that "
    "are started both run at once.",
    "max_active_tasks": "It stands in the file. This version does not enforce it: only the sessions of the workers "
    "limit how many steps run at once.",
}
_LIMIT_YOURSELF: Final = {
    "max_active_runs": "Start a run when the one before has ended: `pgdurable start NAME --wait`.",
    "max_active_tasks": "Run the worker with as many sessions as may work at once: --sql, --python.",
}

_CALLED: Final = frozenset(f"on_{kind}_callback" for kind in ("failure", "success", "retry", "execute", "skipped"))

Find = Callable[..., None]


class DagFindings:
    """Collects findings about one DAG."""

    def __init__(self, dag: DagFacts, around: Surroundings) -> None:
        self.dag = dag
        self.around = around
        self.found: list[Finding] = []

    def find(
        self,
        code: str,
        short: str,
        what: str,
        happens: str = "",
        remedy: str = "",
        *,
        weight: Weight | None = None,
        task: str | None = None,
        line: int | None = None,
    ) -> None:
        """Leave a finding at the DAG, or at one of its tasks."""
        self.found.append(
            Finding(
                code,
                weight or CODES[code].weight,
                short,
                what,
                happens,
                remedy,
                dag=self.dag.dag_id,
                task=task,
                file=self.around.shown(self.dag.file),
                line=line or self.dag.line,
            )
        )


def options(found: DagFindings) -> None:
    """Look at the DAG's own options."""
    fields = found.dag.fields
    if seconds(fields.get("dagrun_timeout")):
        found.find(
            "AF021",
            "dagrun_timeout",
            "A run that takes too long is failed and the rest of its tasks skipped (dagrun_timeout).",
            "It would run on.",
            "Give the long steps an execution_timeout.",
        )
    if fields.get("fail_fast") or fields.get("fail_stop"):
        found.find(
            "AF022",
            "fail_fast",
            "The first failure stops every other task (fail_fast).",
            "The others would run on.",
            "Say with trigger rules which tasks need which.",
        )
    if fields.get("max_consecutive_failed_dag_runs"):
        found.find(
            "AF021",
            "max_consecutive_failed_dag_runs",
            "Airflow pauses the DAG after so many failures in a row.",
            "It is not paused.",
            "Watch `pgdurable status`.",
        )
    for name in ("deadline", "sla_miss_callback"):
        if not is_absent(fields.get(name)):
            found.find(
                "AF021",
                name,
                f"The DAG has `{name}`.",
                "Nobody is told when it is late.",
                "Give the long tasks an execution_timeout, which fails them, and watch `pgdurable status`.",
            )
    if fields.get("render_template_as_native_obj"):
        templated = [task for task in found.dag.tasks if "{{" in json.dumps(dict(task.given), default=str)]
        if templated:
            found.find(
                "AF154",
                "templates become Python objects",
                f"The DAG renders templates as native objects, and {templated[0].task_id} has one.",
                "What they become depends on the text at run time.",
                "Take render_template_as_native_obj out.",
            )
    for name, given, what in (
        ("max_active_runs", ("max_active_runs",), "run"),
        ("max_active_tasks", ("max_active_tasks", "concurrency"), "task"),
    ):
        value = fields.get(name)
        if isinstance(value, int) and any(each in found.dag.given for each in given):
            found.find(
                "AF028",
                f"{name} {value} is kept, not enforced",
                f"At most {value} {what}{'' if value == 1 else 's'} of the DAG may be active at once ({name}).",
                _NOT_ENFORCED[name],
                _LIMIT_YOURSELF[name],
            )
    if "max_active_tasks" not in found.dag.given and "concurrency" not in found.dag.given and len(found.dag.tasks) > 16:
        found.find(
            "AF027",
            "no limit on active tasks",
            "Airflow runs at most 16 tasks of a run at once, unasked.",
            "Here only the sessions of the workers limit how many run at once.",
            "Run the worker with as many sessions as may work at once: --sql, --python.",
        )


def doubts(found: DagFindings, unreached: Sequence[JsonObject]) -> None:
    """Say what static reading does not know of the DAG's shape and options, and which calls it did not come to."""
    dag = found.dag
    remedy = "Read the file live: name an interpreter that has Airflow with --airflow-python."
    for doubt in dag.doubts:
        found.find(
            "AF030",
            f"not certain: {doubt.what}",
            f"What stands in the DAG depends on {doubt.what}, which only running the file decides.",
            "Tasks or edges may be missing here, or be too many.",
            remedy,
            line=doubt.line,
        )
    options: dict[str, Fact] = {**dag.fields, "start_date": dag.start_date, "default_args": {
        "$": "dict", "items": [[key, value] for key, value in dag.default_args.items() if key not in _CALLED]},
        "params": {"$": "dict", "items": [[key, value] for key, value in dag.params.items()]}}  # fmt: skip
    for name, value in options.items():
        unknown = first_unknown(value)
        if unknown is not None:
            found.find(
                "AF033",
                f"{name} is not known without running the file",
                f"`{name}` depends on what only running the file tells: {unknown.what}.",
                "The workflow is written without it.",
                remedy,
                line=unknown.line,
            )
    for call in unreached:
        found.find(
            "AF035",
            f"{call['operator']} in code that is not reached",
            f"`{call['operator']}` is called at {found.around.shown(Path(str(call['file'])))}:{call['line']}, in code "
            "that nothing in the file calls or that its conditions leave out.",
            "No task is made of it, as Airflow makes none.",
            line=call["line"],
        )


def mistakes(found: DagFindings, base_parameters: frozenset[str]) -> None:
    """Look for what is wrong in Airflow already."""
    dag = found.dag
    taken = {name for task in dag.tasks for name in task.given} | base_parameters
    lines = _constants(dag.file)
    is_known = not any(task.is_stub or task.doubts for task in dag.tasks) and not dag.doubts
    for key in dag.default_args:
        if key not in taken and dag.tasks and is_known:
            found.find(
                "AF201",
                f"default_args key {key} is never used",
                f"`{key}`: no operator of this DAG takes it, and Airflow ignores it.",
                remedy="Correct or remove it.",
                line=lines.get(key),
            )
    downstream = {name for task in dag.tasks for name in task.upstream}
    leaves = [task for task in dag.tasks if task.task_id not in downstream]
    if not leaves or any(trigger_rule(task) not in _EVER for task in leaves):
        return
    for task in leaves:
        if not task.upstream:
            continue
        whole = "The only leaf" if len(leaves) == 1 else "A leaf, as all leaves,"
        names = [facts.name for fact in elements(dag.callbacks.get("failure")) if (facts := callable_of(fact))]
        silent = f", and {names[0]} never fires" if names else ""
        found.find(
            "AF203",
            "hides every failure of the run",
            f"{whole}, and {trigger_rule(task)}: a failed task before "
            f"it ends as a successful run, in Airflow as here{silent}.",
            "Kept as it is.",
            "A watcher step behind all others, with rule => 'one_failed', that fails.",
            task=task.task_id,
            line=task.line,
        )


def _constants(file: Path) -> dict[str, int]:
    """Find the first line of each text constant of a file."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines[node.value] = min(node.lineno, lines.get(node.value, node.lineno))
        elif isinstance(node, ast.keyword) and node.arg:
            lines.setdefault(node.arg, node.value.lineno)
    return lines


def stubs_and_names(found: DagFindings, answer: JsonObject) -> None:
    """Say which modules were stubbed, and which names of Airflow 1 or 2 were read as something else."""
    for name, used in answer["stubs"].items():
        if used:
            found.find(
                "AF010",
                f"{name} is not installed",
                f"`{name}` is not installed; used: {', '.join(used)}.",
                "A stub stands in its place.",
                "Install it, or use --airflow-python.",
            )
    seen: set[tuple[str, object]] = set()
    for use in answer["stub_uses"]:
        where = (use["stub"], use["line"])
        if where in seen or use["dag"] not in (None, found.dag.dag_id):
            continue
        seen.add(where)
        found.find(
            "AF011",
            f"{use['stub']} {use['how']}",
            f"`{use['stub']}` from a missing module {use['how']} while the graph is built.",
            "What it would add to the graph is unknown.",
            "Install the package, or use --airflow-python.",
            line=use["line"],
        )
    for old, new in answer["legacy"].items():
        found.find(
            "AF012",
            f"{old}: name of Airflow 1 or 2",
            f"`{old}` is gone in Airflow 3.",
            f"It was read as `{new}`.",
            "Use the new name.",
        )


def fixed_at_import(found: DagFindings, first: Row, second: Row | None, answer: JsonObject) -> None:
    """Compare two readings of the DAG, made with other Variables, Connections, environment and clock."""
    reads = _reads(answer, found.around)
    names = "; ".join(text for text, _ in reads) or "a random or changing value"
    line = next((line for _, line in reads if line), None)
    if second is None:
        found.find(
            "AF013",
            "whether the DAG exists depends on values read while parsing",
            f"Read with other values the file does not give this DAG. Read while parsing: {names}.",
            "It is imported as it was found.",
            "Do not build DAGs from values that change.",
            line=line,
        )
        return
    where = sorted(set(_differences(first, second)), key=lambda place: (place[0] or "", place[1]))
    if not where:
        if reads:
            found.find(
                "AF014",
                "read while parsing, without effect",
                f"Read while parsing: {names}.",
                "Nothing imported depends on it.",
                line=line,
            )
        return
    known = {task.task_id for task in found.dag.tasks}
    for task_id, field in where:
        subject = task_id if task_id in known else None
        found.find(
            "AF013",
            f"{field} is fixed at import",
            f"`{field}` depends on what is read while parsing: {names}.",
            "It is fixed to what it was now.",
            "Use a template, or read it inside a task.",
            task=subject,
            line=line,
        )


def _reads(answer: JsonObject, around: Surroundings) -> list[tuple[str, int | None]]:
    found: list[tuple[str, int | None]] = []
    for kind, word in (("variables", "Variable"), ("connections", "Connection"), ("environment", "environment")):
        found += [(f"{word} {name} (line {site[1]})", site[1]) for name, site in sorted(answer[kind].items())]
    clock = answer["clock"]
    if clock:
        found.append((f"the clock (line {clock[0][1]})", clock[0][1]))
    return found


def _differences(first: Fact, second: Fact) -> Iterator[tuple[str | None, str]]:
    """Name the fields in which two readings differ: (task, field)."""
    if not (is_row(first) and is_row(second)):
        return
    for name in sorted(set(first) | set(second)):
        if name not in ("tasks", "runs") and _undated(name, first.get(name)) != _undated(name, second.get(name)):
            yield (None, name)
    old = {str(task["task_id"]): task for task in elements(first.get("tasks")) if is_row(task)}
    new = {str(task["task_id"]): task for task in elements(second.get("tasks")) if is_row(task)}
    for task_id in sorted(set(old) | set(new)):
        if task_id not in old or task_id not in new:
            yield (None, "the list of tasks")
            continue
        for part in ("given", "attributes", "fields", "expand", "upstream", "classes"):
            before, after = old[task_id].get(part), new[task_id].get(part)
            if before == after:
                continue
            if is_row(before) and is_row(after):
                for name in sorted(set(before) | set(after)):
                    # Dates of a task repeat those of the DAG, which are named once.
                    if before.get(name) != after.get(name) and name not in ("start_date", "end_date"):
                        yield (task_id, name)
            else:
                yield (task_id, part)


def _undated(name: str, value: Fact) -> Fact:
    """Leave dates out of default_args: the DAG's own repeat them, and are named once."""
    if name != "default_args":
        return value
    return {key: inner for key, inner in items(value).items() if key not in ("start_date", "end_date")}


def leaks(texts: Mapping[str, str]) -> list[str]:
    """Name the sentinels that come out in texts: each stands for a secret."""
    return sorted({word for text in texts.values() for word in _words(text, SENTINEL + "-")})


def placeholders(graph: Graph, found: DagFindings, texts: Mapping[str, str]) -> None:
    """Block what holds a placeholder for a Variable or Connection that was not given."""
    for mark in _PLACEHOLDERS:
        for word in sorted({word for text in texts.values() for word in _words(text, mark)}):
            name = word.removeprefix(mark)
            kind = "Variable" if "variable" in mark else "Connection"
            found.find(
                "AF015",
                f"{kind} {name} was not given",
                f"The file reads {kind} `{name}` while it is parsed, and {graph.name} holds what it gave.",
                "A placeholder stands in its place.",
                "Give it with --variables or --connections.",
                weight="blocked",
            )


def _words(text: str, mark: str) -> list[str]:
    words = []
    start = text.find(mark)
    while start >= 0:
        end = start
        while end < len(text) and (text[end].isalnum() or text[end] in "-_."):
            end += 1
        words.append(text[start:end].rstrip("."))
        start = text.find(mark, end)
    return words
