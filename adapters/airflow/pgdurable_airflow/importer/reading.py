"""Files and folders to a ReadResult: which files, in which order, and what became of each."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from traceback import extract_tb

from pgdurable_airflow.importer.build import Reading, build_workflow
from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.facts import read_dag
from pgdurable_airflow.importer.load.live import Job, JsonObject, Session, execute, find_config
from pgdurable_airflow.importer.task import Surroundings
from pgdurable_core.errors import UsageError
from pgdurable_core.importing.findings import Finding
from pgdurable_core.importing.protocol import ImportedWorkflow, ReadFacts, ReadFailure, ReadOptions, ReadResult


def read(paths: Sequence[Path], options: ReadOptions) -> ReadResult:
    """Read every file and folder. Raises UsageError for a path that is not there; a bad file is a failure."""
    started = monotonic()
    jobs = find_jobs(paths)
    as_of = options.as_of or datetime.now(UTC)
    session = execute(jobs, options, as_of)
    found: list[_Found] = []
    failures: list[ReadFailure] = []
    sources: dict[str, frozenset[str]] = {}
    for job in jobs:
        defined, failed = _file(job, session, options)
        if all(failure.finding.code == "AF005" for failure in failed):
            sources[job.shown] = frozenset(each.workflow.name for each in defined)
        found.extend(defined)
        failures.extend(failed)
    imports = _told_apart(found)
    if options.names:
        imports = [workflow for workflow in imports if workflow.name in options.names]
        missing = sorted(set(options.names) - {workflow.name for workflow in imports})
        if missing:
            raise UsageError(f"no DAG is called {missing[0]}", hint="--dag takes the DAG's own id.")
    facts = ReadFacts(
        system=f"Airflow {session.airflow}",
        how=f"live with Airflow {session.airflow}",
        assumed=_assumed(session, options, jobs[0].roots[0].parent),
        files=len(jobs),
        extra_files=len({file for workflow in imports for task in workflow.tasks for file in _extra(task.source)}),
        callbacks=sum(run is not None for w in imports for run in (w.graph.on_failure, w.graph.on_success)),
        seconds=monotonic() - started,
    )
    folders = tuple(path.resolve() for path in paths if path.is_dir())
    if options.names:
        sources, folders = {}, ()
    return ReadResult(tuple(imports), tuple(failures), facts, sources=sources, folders=folders)


def find_jobs(paths: Sequence[Path]) -> list[Job]:
    """Find the DAG files: those named, and in folders those that hold the words `dag` and `airflow`, as Airflow does.

    The dags folder is the folder given, or the nearest one called `dags` above a file, else the file's own.
    """
    jobs: list[Job] = []
    for path in paths:
        whole = path.resolve()
        if whole.is_dir():
            files = sorted(file for file in whole.rglob("*.py") if _might_hold_dag(file, whole))
            jobs += [Job(file, _roots(whole)) for file in files]
        elif whole.is_file():
            above = next((folder for folder in whole.parents if folder.name == "dags"), whole.parent)
            jobs.append(Job(whole, _roots(above)))
        else:
            raise UsageError(f"there is no file or folder {path}")
    unique = {job.path: job for job in jobs}
    if not unique:
        raise UsageError(
            "no Python file that could hold a DAG was found", hint="Name a file, or a folder of DAG files."
        )
    return list(unique.values())


def _roots(dags: Path) -> tuple[Path, ...]:
    plugins = dags.parent / "plugins"
    return (dags, plugins) if plugins.is_dir() else (dags,)


def _might_hold_dag(path: Path, folder: Path) -> bool:
    """Follow Airflow's safe mode (airflow/utils/file.py, might_contain_dag); hidden folders below are left out."""
    if any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts):
        return False
    try:
        content = path.read_bytes().lower()
    except OSError:
        return False
    return b"airflow" in content and b"dag" in content


@dataclass(frozen=True, slots=True)
class _Found:
    """One definition of a DAG: its own id, before it becomes a name, and where it stands."""

    dag_id: str
    line: int | None
    workflow: ImportedWorkflow

    @property
    def place(self) -> str:
        return self.workflow.source if self.line is None else f"{self.workflow.source}:{self.line}"


def _file(job: Job, session: Session, options: ReadOptions) -> tuple[list[_Found], list[ReadFailure]]:
    answers = session.answers.get(str(job.path), [])
    shown = job.shown
    if not answers or answers[0].get("died"):
        return [], [_died(shown, answers[0].get("died") if answers else "exit", options)]
    first = answers[0]
    second = answers[1] if len(answers) > 1 and not answers[1].get("died") else None
    failures = [
        _failure("AF003", shown, f"the file took more than {options.memory_limit} MiB", "Move work into tasks.",
                 error["line"])
        if error["message"].startswith("MemoryError")
        else _failure("AF001", shown, error["message"], "Mend the file, or name your Airflow's interpreter with "
                 "--airflow-python.", error["line"])
        for error in first["errors"]
    ]  # fmt: skip
    if not first["dags"] and not failures and _is_dag_file(job.path):
        failures.append(
            _failure(
                "AF005",
                shown,
                "the file loads and defines no DAG",
                "Call the @dag function, or bind the DAG to a name.",
            )
        )
    workflows = []
    for row in first["dags"]:
        try:
            workflow = _workflow(job, session, row, first, second, options)
            workflows.append(_Found(row["dag_id"], row["line"], workflow))
        except Exception as error:
            failures.append(
                _failure(
                    "AF009",
                    shown,
                    f"{row['dag_id']}: {type(error).__name__}: {error} ({_raised_at(error)})",
                    "Report it, with the file.",
                )
            )
    return workflows, failures


def _raised_at(error: Exception) -> str:
    frame = extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _is_dag_file(path: Path) -> bool:
    """Say whether a file looks as if it wanted to define a DAG: it calls or decorates with something named dag."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(names & {"DAG", "dag"})


def _workflow(
    job: Job, session: Session, row: JsonObject, first: JsonObject, second: JsonObject | None, options: ReadOptions
) -> ImportedWorkflow:
    dag = read_dag(row)
    around = Surroundings(dag, int(session.airflow.partition(".")[0]), job.roots[0], options.slice_code, options.folder)
    reading = Reading(
        dag=dag,
        first=row,
        second=_again(row, first, second),
        answer=first,
        airflow=f"Airflow {session.airflow}",
        how="live",
        base_parameters=session.base_parameters,
    )
    return build_workflow(reading, around)


def _again(row: JsonObject, first: JsonObject, second: JsonObject | None) -> JsonObject | None:
    """Find the same DAG in the second answer; of several with one id, the one at the same place among them."""
    if second is None:
        return None
    before = [other for other in first["dags"] if other["dag_id"] == row["dag_id"]]
    after = [other for other in second["dags"] if other["dag_id"] == row["dag_id"]]
    place = next(number for number, other in enumerate(before) if other is row)
    found: JsonObject | None = after[place] if place < len(after) else None
    return found


def _died(shown: str, how: object, options: ReadOptions) -> ReadFailure:
    match how:
        case "time":
            return _failure(
                "AF002",
                shown,
                f"the file was still being executed after {options.time_limit:g} s",
                "Move work into tasks.",
            )
        case "memory":
            return _failure(
                "AF003", shown, f"the file took more than {options.memory_limit} MiB", "Move work into tasks."
            )
        case _:
            return _failure(
                "AF004",
                shown,
                f"the process that executed the file ended: {how}",
                "Take os._exit out, or mend what crashes.",
            )


def _failure(code: str, path: str, what: str, remedy: str, line: object = None) -> ReadFailure:
    finding = Finding(
        code,
        CODES[code].weight,
        CODES[code].title,
        what,
        "It gives no workflow.",
        remedy,
        file=path,
        line=line if isinstance(line, int) else None,
    )
    return ReadFailure(path, finding)


def _told_apart(found: list[_Found]) -> list[ImportedWorkflow]:
    """Block DAGs that would write the same files: nobody can say which of them is meant."""
    by_name: dict[str, list[_Found]] = {}
    for each in found:
        by_name.setdefault(each.workflow.name, []).append(each)
    return [
        each.workflow if len(by_name[each.workflow.name]) == 1 else _ambiguous(each, by_name[each.workflow.name])
        for each in found
    ]


def _ambiguous(one: _Found, namesakes: list[_Found]) -> ImportedWorkflow:
    name, count = one.workflow.name, len(namesakes)
    if len({each.dag_id for each in namesakes}) == 1:
        places = ", ".join(each.place for each in namesakes)
        what = f"The DAG id `{one.dag_id}` is defined {count} times: {places}."
        happens = "Airflow keeps whichever it read last. Here nothing is written for any of them."
    else:
        places = ", ".join(f"`{each.dag_id}` at {each.place}" for each in namesakes)
        what = f"DAG ids become one name, {name}: {places}."
        happens = "Nothing is written for any of them."
    remedy = "Give each an id of its own."
    if len({each.workflow.source for each in namesakes}) > 1:
        remedy += " Or import the one file that is meant."
    finding = Finding(
        "AF007",
        CODES["AF007"].weight,
        f"{count} DAGs are called {name}",
        what,
        happens,
        remedy,
        dag=one.dag_id,
        file=one.workflow.source,
        line=one.line,
    )
    return replace(one.workflow, findings=(finding, *one.workflow.findings), files=())


def _extra(source: str | None) -> list[str]:
    return source.split(" ")[1:] if source else []


def _assumed(session: Session, options: ReadOptions, beside: Path) -> tuple[str, ...]:
    config = session.config
    intervals = "cron with data intervals" if config["create_cron_data_intervals"] else "cron without data intervals"
    catchup = "catchup on" if config["catchup_by_default"] else "catchup off"
    zone = str(config["default_timezone"])
    values = f"{intervals}, {catchup}, {zone.upper() if zone.lower() == 'utc' else zone}"
    found = find_config(options, beside)
    if found is None:
        return (f"no airflow.cfg found, defaults assumed: {values}",)
    return (f"{found.name} says: {values}",)
