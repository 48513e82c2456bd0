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
from pgdurable_airflow.importer.places import with_columns
from pgdurable_airflow.importer.task import Surroundings
from pgdurable_core.errors import MissingDependencyError, UsageError
from pgdurable_core.importing.findings import Finding
from pgdurable_core.importing.protocol import ImportedWorkflow, ReadFacts, ReadFailure, ReadOptions, ReadResult


def read(paths: Sequence[Path], options: ReadOptions) -> ReadResult:
    """Read every file and folder. Raises UsageError for a path that is not there; a bad file is a failure."""
    started = monotonic()
    jobs = find_jobs(paths)
    as_of = options.as_of or datetime.now(UTC)
    session, how = _session(jobs, options, as_of)
    found: list[_Found] = []
    failures: list[ReadFailure] = []
    sources: dict[str, frozenset[str]] = {}
    for job in jobs:
        defined, failed = _file(job, session, how, options)
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
        how=how.words,
        assumed=(*how.assumed, *_assumed(session, options, jobs[0].roots[0].parent)),
        files=len(jobs),
        extra_files=len({file for workflow in imports for task in workflow.tasks for file in _extra(task.source)}),
        callbacks=sum(run is not None for w in imports for run in (w.graph.on_failure, w.graph.on_success)),
        seconds=monotonic() - started,
    )
    folders = tuple(path.resolve() for path in paths if path.is_dir())
    if options.names:
        sources, folders = {}, ()
    return ReadResult(tuple(imports), tuple(failures), facts, sources=sources, folders=folders)


@dataclass(frozen=True, slots=True)
class _How:
    """How the files were read: in a word for headers, in words for the terminal, with what that takes for granted."""

    word: str
    words: str
    assumed: tuple[str, ...] = ()


def _session(jobs: Sequence[Job], options: ReadOptions, as_of: datetime) -> tuple[Session, _How]:
    """Read live where Airflow can be imported, else, and where it is asked for, by syntax alone."""
    if not options.static:
        try:
            session = execute(jobs, options, as_of)
        except MissingDependencyError:
            # An interpreter that somebody names is meant: then its want of Airflow is an error.
            if options.python is not None:
                raise
        else:
            return session, _How("live", f"live with Airflow {session.airflow}")
    from pgdurable_airflow.importer.load.static import read_statically

    session = read_statically(jobs, options, as_of)
    why = "as asked" if options.static else "no Airflow can be imported"
    assumed = (
        f"read statically ({why}): no code was run, names mean what they mean in Airflow {session.airflow}",
        "no schedule was computed: next and past runs are not shown",
    )
    return session, _How("statically", f"statically as Airflow {session.airflow} would", assumed)


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
        elif whole.is_file() and whole.suffix != ".py":
            raise UsageError(
                f"{path} is no Python file",
                hint="A DAG is read from its .py file, or from a folder of them; a packaged one must be unpacked.",
            )
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
    root: Path

    @property
    def claims(self) -> frozenset[str]:
        """Return the name and the files it takes, as they are where case does not count."""
        return frozenset(text.casefold() for text in (self.workflow.name, *(file.path for file in self.workflow.files)))

    @property
    def place(self) -> str:
        return self.workflow.source if self.line is None else f"{self.workflow.source}:{self.line}"


def _file(job: Job, session: Session, how: _How, options: ReadOptions) -> tuple[list[_Found], list[ReadFailure]]:
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
            workflow = _workflow(job, session, how, row, first, second, options)
            workflow = replace(workflow, findings=with_columns(workflow.findings, job.roots[0]))
            workflows.append(_Found(row["dag_id"], row["line"], workflow, job.roots[0]))
        except Exception as error:
            failures.append(
                _failure(
                    "AF009",
                    shown,
                    f"{row['dag_id']}: {type(error).__name__}: {error} ({_raised_at(error)})",
                    "Report it, with the file.",
                )
            )
    placed = with_columns([failure.finding for failure in failures], job.roots[0])
    return workflows, [ReadFailure(finding.file or shown, finding) for finding in placed]


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
    job: Job,
    session: Session,
    how: _How,
    row: JsonObject,
    first: JsonObject,
    second: JsonObject | None,
    options: ReadOptions,
) -> ImportedWorkflow:
    dag = read_dag(row)
    is_old = any(name.startswith("airflow.") for name in first["legacy"])
    around = Surroundings(
        dag, int(session.airflow.partition(".")[0]), job.roots[0], options.slice_code, is_old, options.folder
    )
    reading = Reading(
        dag=dag,
        first=row,
        second=_again(row, first, second),
        answer=first,
        airflow=f"Airflow {session.airflow}",
        how=how.word,
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
    claimed: dict[str, list[int]] = {}
    for number, each in enumerate(found):
        for claim in each.claims:
            claimed.setdefault(claim, []).append(number)
    namesakes = [sorted({number for claim in each.claims for number in claimed[claim]}) for each in found]
    return [
        each.workflow if len(numbers) == 1 else _ambiguous(each, [found[number] for number in numbers])
        for each, numbers in zip(found, namesakes, strict=True)
    ]


def _ambiguous(one: _Found, namesakes: list[_Found]) -> ImportedWorkflow:
    name, count = one.workflow.name, len(namesakes)
    if len({each.dag_id for each in namesakes}) == 1:
        places = ", ".join(each.place for each in namesakes)
        short = f"{count} DAGs are called {name}"
        what = f"The DAG id `{one.dag_id}` is defined {count} times: {places}."
        happens = "Airflow keeps whichever it read last. Here nothing is written for any of them."
    else:
        places = ", ".join(f"`{each.dag_id}` at {each.place}" for each in namesakes)
        same = frozenset.intersection(*(each.claims for each in namesakes))
        short = f"{count} DAGs are called {name}"
        if len({each.workflow.name for each in namesakes}) == 1:
            what = f"DAG ids become one name, {name}: {places}."
        elif name.casefold() in same:
            short = f"{count} DAG ids differ in case only"
            what = f"DAG ids differ in case only, and so would their files: {places}."
        else:
            short = f"{count} DAGs would write one file"
            what = f"DAGs would write one file, {', '.join(sorted(same)) or 'of each other'}: {places}."
        happens = "Nothing is written for any of them."
    remedy = "Give each an id of its own."
    if len({each.workflow.source for each in namesakes}) > 1:
        remedy += " Or import the one file that is meant."
    finding = Finding(
        "AF007",
        CODES["AF007"].weight,
        short,
        what,
        happens,
        remedy,
        dag=one.dag_id,
        file=one.workflow.source,
        line=one.line,
    )
    (finding,) = with_columns([finding], one.root)
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
