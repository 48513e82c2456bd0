"""One DAG's facts to one imported workflow, with every task accounted for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from pgdurable_airflow.importer import dag_findings as about
from pgdurable_airflow.importer.dag_findings import DagFindings
from pgdurable_airflow.importer.facts import DagFacts, Row, callable_of, elements
from pgdurable_airflow.importer.link import build_graph, safe_name, workflow_name
from pgdurable_airflow.importer.load.live import JsonObject
from pgdurable_airflow.importer.modules import Pinned, module_source, pin
from pgdurable_airflow.importer.rules import convert
from pgdurable_airflow.importer.rules.base import INSTEAD_OF_CALLBACKS
from pgdurable_airflow.importer.rules.python import slice_module
from pgdurable_airflow.importer.schedule import read_schedule
from pgdurable_airflow.importer.sqltext import Tables, tables
from pgdurable_airflow.importer.task import Draft, Surroundings, Task
from pgdurable_airflow.importer.write import header_notes, slice_file, workflow_files
from pgdurable_core.graph.analysis import topological_order
from pgdurable_core.graph.check import find_problems
from pgdurable_core.graph.emit.sql import Notes
from pgdurable_core.graph.model import Branch, Check, Graph, Python, Run, Sql
from pgdurable_core.importing.findings import Finding, Home, fidelity
from pgdurable_core.importing.protocol import ImportedTask, ImportedWorkflow, ModuleSource, Needs, Proof, WorkflowFile


@dataclass(frozen=True, slots=True)
class Reading:
    """One DAG as read: its facts, the raw answers of both passes, and what the reading was like."""

    dag: DagFacts
    first: Row
    second: Row | None
    answer: JsonObject
    airflow: str
    how: str
    base_parameters: frozenset[str]


def build_workflow(reading: Reading, around: Surroundings) -> ImportedWorkflow:
    """Convert every task, link them, and write the files."""
    dag = reading.dag
    found = DagFindings(dag, around)
    about.stubs_and_names(found, reading.answer)
    about.fixed_at_import(found, reading.first, reading.second, reading.answer)
    about.doubts(found, reading.answer.get("unreached", ()))
    about.options(found)
    about.mistakes(found, reading.base_parameters)
    schedule = read_schedule(dag, around.shown(dag.file))
    found.found.extend(schedule.findings)
    drafts: dict[str, tuple[Task, Draft | None]] = {}
    for facts in dag.tasks:
        task = Task(facts, around)
        drafts[facts.task_id] = (task, convert(task))
    _refuse_namesakes(drafts)
    for task, draft in list(drafts.values()):
        # Options that would change the run block a task as much as an operator without a rule.
        if draft is not None and any(finding.weight == "blocked" for finding in task.findings):
            drafts[task.key] = (task, None)
    callbacks = _callbacks(found)
    pinned, slices = _modules(reading, drafts, callbacks, around)
    if workflow_name(dag.dag_id) != dag.dag_id:
        found.find(
            "AF016",
            f"named {workflow_name(dag.dag_id)}",
            f"The DAG id {dag.dag_id!r} is too long, or holds characters a name may not have.",
            f"The workflow is called {workflow_name(dag.dag_id)}.",
        )
    graph = build_graph(
        dag, drafts, schedule, around, {name: module.digest for name, module in pinned.modules.items()}, callbacks
    )
    for problem in find_problems(graph):
        found.find(
            "AF306",
            problem.code,
            f"{problem.message}.",
            "The workflow would be refused.",
            "Change the DAG.",
            task=_task_of(problem.step, dag),
        )
    about.placeholders(graph, found, {step.key: repr(step) for step in graph.steps} | {"": repr(graph)})
    return _finished(reading, around, graph, drafts, found, pinned, slices, schedule.facts)


def _refuse_namesakes(drafts: dict[str, tuple[Task, Draft | None]]) -> None:
    """Refuse to copy out two callables of one name: the file that holds them could keep only one."""
    places: dict[str, set[tuple[object, int | None]]] = {}
    for _, draft in drafts.values():
        if draft is not None and draft.sliced is not None:
            places.setdefault(draft.sliced.name, set()).add((draft.sliced.file, draft.sliced.line))
    for task, draft in list(drafts.values()):
        if draft is None or draft.sliced is None or len(places[draft.sliced.name]) == 1:
            continue
        name = draft.sliced.name
        task.refuse(
            "AF133",
            f"several functions are called {name}",
            f"Several nested functions are called `{name}`, so they cannot be copied to one file.",
            "Give them different names, or move them to the top level of a module.",
            line=draft.sliced.def_line,
        )
        drafts[task.key] = (task, None)


def _finished(
    reading: Reading,
    around: Surroundings,
    graph: Graph,
    drafts: Mapping[str, tuple[Task, Draft | None]],
    found: DagFindings,
    pinned: Pinned,
    slices: list[WorkflowFile],
    schedule: object,
) -> ImportedWorkflow:
    from pgdurable_core.importing.protocol import ScheduleFacts

    assert isinstance(schedule, ScheduleFacts)
    dag = reading.dag
    is_sound = not any(finding.code == "AF306" for finding in found.found)
    order = topological_order(graph) if is_sound else tuple(step.key for step in graph.steps)
    by_key = {safe_name(task_id): pair for task_id, pair in drafts.items()}
    findings = _in_order(found.found, order, by_key)
    tasks = tuple(_task(by_key[key], graph, key, findings) for key in order)
    source = around.shown(dag.file)
    digest = sha256(dag.file.read_bytes()).hexdigest()
    comments = {key: pair[1].comments for key, pair in by_key.items() if pair[1] is not None}
    as_of = "" if not reading.answer["clock"] else "; it reads the clock"
    read_from = f"{source} (source {digest[:8]}), read {reading.how}: {reading.airflow}, {_intervals(graph)}{as_of}"
    notes = header_notes(graph, tasks, findings, comments, read_from, around.folder) if is_sound else Notes()
    is_blocked = any(finding.weight == "blocked" for finding in findings)
    files = (workflow_files(graph, notes, is_blocked) if is_sound else []) + slices
    secrets = about.leaks({file.path: file.text for file in files} | dict(_texts(findings)))
    if secrets:
        found.find(
            "AF006",
            "a secret came out",
            f"A secret is part of the DAG: {', '.join(secrets)}.",
            "Nothing is written for it.",
            "Read the secret inside a task, not while the file is parsed.",
        )
        findings, files = (*findings, found.found[-1]), []
    return ImportedWorkflow(
        name=graph.name,
        graph=graph,
        notes=notes,
        tasks=tasks,
        findings=findings,
        files=tuple(files),
        source=source,
        source_hash=digest,
        schedule=schedule,
        needs=_needs(graph, drafts, pinned),
        modules=pinned.modules,
        proofs=_proofs(reading, findings),
    )


def _texts(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(f"finding {number}", repr(finding)) for number, finding in enumerate(findings)]


def _task_of(key: str | None, dag: DagFacts) -> str | None:
    return next((task.task_id for task in dag.tasks if safe_name(task.task_id) == key), None)


def _in_order(
    of_dag: list[Finding], order: tuple[str, ...], by_key: Mapping[str, tuple[Task, Draft | None]]
) -> tuple[Finding, ...]:
    """Order findings: those of the DAG, then task by task; a task goes by its step's key from here on."""
    listed = [finding for finding in of_dag if finding.task is None]
    for key in order:
        task, _ = by_key[key]
        own = [*task.findings, *(finding for finding in of_dag if finding.task == task.key)]
        listed += [replace(finding, task=key) for finding in own]
    return tuple(listed)


def _task(pair: tuple[Task, Draft | None], graph: Graph, key: str, findings: tuple[Finding, ...]) -> ImportedTask:
    task, draft = pair
    own = [finding for finding in findings if finding.task == key]
    step = graph.by_key[key]
    return ImportedTask(
        key=key,
        becomes=draft.becomes if draft is not None else "nothing yet",
        home=draft.home if draft is not None else _home(task),
        fidelity=fidelity(own),
        after=step.upstreams,
        rule=step.rule,
        operator=task.facts.operator,
        source=step.source,
        codes=tuple(dict.fromkeys(finding.code for finding in own)),
        is_mapped=task.facts.is_mapped,
    )


def _home(task: Task) -> Home:
    """Say where a blocked task would run once nothing is in the way; what needs Airflow around it, under Airflow."""
    return "operator" if any(finding.code == "AF130" for finding in task.findings) else task.home


def _callbacks(found: DagFindings) -> dict[str, Run]:
    """Keep the DAG's one callback of each kind, by name; everything else becomes a finding."""
    kept: dict[str, Run] = {}
    for kind, value in found.dag.callbacks.items():
        for number, fact in enumerate(elements(value)):
            facts = callable_of(fact)
            module = found.around.module_name(facts.file) if facts is not None and facts.file is not None else None
            plain_function = isinstance(fact, dict) and fact.get("$") == "callable"
            name = f"on_{kind}_callback"
            if number or facts is None or module is None or not facts.is_reachable or not plain_function:
                shown = facts.name if facts is not None else "a callback"
                found.find(
                    "AF023",
                    f"{name} {shown}",
                    f"The DAG calls {shown} ({name}).",
                    "It would not be called.",
                    INSTEAD_OF_CALLBACKS,
                )
                continue
            kept[kind] = Python(f"{module}:{facts.qualname}", {}, runtime="airflow")
            found.find(
                "AF024",
                f"{name} is kept, not called",
                f"The DAG calls `{facts.qualname}` ({name}).",
                f"It stands in the file as on_{kind}; this version does not call it.",
                "Watch `pgdurable status`, which ends with 1 while anything is failed.",
            )
    return kept


def _modules(
    reading: Reading,
    drafts: Mapping[str, tuple[Task, Draft | None]],
    callbacks: Mapping[str, Run],
    around: Surroundings,
) -> tuple[Pinned, list[WorkflowFile]]:
    """Pin the modules that Python steps and callbacks live in, and write those that were copied out."""
    runs = [draft.run for _, draft in drafts.values() if draft is not None and draft.sliced is None]
    names = [run.callable for run in [*runs, *callbacks.values()] if isinstance(run, Python)]
    pinned = pin(names, reading.answer["modules"], around)
    copied = {draft.sliced.name: draft.sliced for _, draft in drafts.values() if draft is not None and draft.sliced}
    if not copied:
        return pinned, []
    module = slice_module(reading.dag.dag_id)
    file = slice_file(
        Graph(name=workflow_name(reading.dag.dag_id), steps=()),
        around.shown(reading.dag.file),
        list(copied.values()),
        module,
    )
    modules: dict[str, ModuleSource] = {**pinned.modules, module: module_source(file.text)}
    roots = {use.module.partition(".")[0] for facts in copied.values() for use in facts.uses}
    import sys

    outside = {root for root in roots if root not in sys.stdlib_module_names and not root.startswith("unusual_prefix")}
    return Pinned(modules, pinned.packages | outside, pinned.variables), [file]


def _needs(graph: Graph, drafts: Mapping[str, tuple[Task, Draft | None]], pinned: Pinned) -> Needs:
    named: dict[str, Tables] = {}
    live = {safe_name(task_id) for task_id, (_, draft) in drafts.items() if draft is not None}
    for step in graph.steps:
        if isinstance(step.run, Sql | Check | Branch) and step.key in live:
            named[step.key] = tables(step.run.sql)
    connections = {graph.settings(step).connection for step in graph.steps if isinstance(step.run, Sql | Check)}
    return Needs(
        connections=tuple(sorted(name for name in connections if name)),
        variables=tuple(sorted(pinned.variables)),
        packages=tuple(sorted(pinned.packages)),
        binaries=tuple(sorted({name for _, draft in drafts.values() if draft is not None for name in draft.binaries})),
        reads=_sorted(each.reads for each in named.values()),
        writes=_sorted(each.writes for each in named.values()),
        truncates=_sorted(each.truncates for each in named.values()),
        calls=_sorted(each.calls for each in named.values()),
        unread=tuple(key for key, each in named.items() if not each.is_whole),
    )


def _sorted(names: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset[str]().union(*names)))


def _proofs(reading: Reading, findings: Sequence[Finding]) -> tuple[Proof, ...]:
    """Say what this reading shows by itself, and what it does not."""
    is_live = reading.how == "live"
    proofs = [Proof("structure", is_live, f"read from the objects of {reading.airflow}" if is_live else "")]
    if any(finding.code == "AF160" for finding in findings):
        proofs.append(Proof("lifted branches", True, "equal for every value of their parameters"))
    return (*proofs, Proof("schedule", False), Proof("render", False), Proof("run", False), Proof("data", False))


def _intervals(graph: Graph) -> str:
    if graph.schedule is None:
        return "no schedule"
    kind = "cron" if " " in graph.schedule and not graph.schedule[-1].isalpha() else graph.schedule
    return f"{kind} {'with' if graph.data_intervals else 'without'} data intervals"
