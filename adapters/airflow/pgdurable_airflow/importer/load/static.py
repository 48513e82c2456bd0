"""Read DAG files by their syntax: no code of theirs runs, no Airflow is there. The answer has the child's shape.

Every fact is certain unless it says otherwise: a value that is not known is `{"$": "unknown", …}` with its line, and a
task or DAG whose shape is not known lists why under `doubts`.
"""

import configparser
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pgdurable_airflow.importer.load.live import Job, JsonObject, Session, environment_for, find_config, read_sources
from pgdurable_airflow.importer.load.syntax import imports, library
from pgdurable_airflow.importer.load.syntax.accounting import unreached_calls
from pgdurable_airflow.importer.load.syntax.describing import dag_facts
from pgdurable_airflow.importer.load.syntax.encoding import doubt_fact
from pgdurable_airflow.importer.load.syntax.machine import Machine, Raises, TooMuchError, World
from pgdurable_airflow.importer.load.syntax.scopes import dag_module_name
from pgdurable_core.importing.protocol import ReadOptions

# What Airflow 3 takes where airflow.cfg says nothing.
_DEFAULTS: Final[JsonObject] = {
    "create_cron_data_intervals": False, "catchup_by_default": False, "default_timezone": "utc",
    "max_active_tasks_per_dag": "16", "max_active_runs_per_dag": "16",
}  # fmt: skip
_SECTIONS: Final = {
    "create_cron_data_intervals": "scheduler", "catchup_by_default": "scheduler", "default_timezone": "core",
    "max_active_tasks_per_dag": "core", "max_active_runs_per_dag": "core",
}  # fmt: skip
# As the child's second reading: two days and an hour and a bit later.
_LATER: Final = timedelta(seconds=2 * 86400 + 3725)


def read_statically(jobs: Sequence[Job], options: ReadOptions, as_of: datetime, *, twice: bool = True) -> Session:
    """Read every file, twice with other Variables, environment and clock; answers as `load/live.py` does."""
    sources = read_sources(options)
    config = read_config(options, jobs[0].roots[0].parent if jobs else None)
    environment = environment_for()
    session = Session(
        airflow=library.version(), python="", config=config,
        base_parameters=frozenset(library.library()["base_parameters"]),
    )  # fmt: skip
    zone = ZoneInfo("UTC" if str(config["default_timezone"]).lower() == "utc" else str(config["default_timezone"]))
    inner = {**config, "zone": zone.key, "tz": zone}
    for job in jobs:
        for number in (0, 1) if twice else (0,):
            now = as_of.astimezone(UTC) + (_LATER if number else timedelta())
            roots = tuple(root.resolve() for root in job.roots)
            world = World(roots, sources.variables, sources.connections, environment, inner, now, bool(number))
            session.answers.setdefault(str(job.path), []).append(read_file(job.path, world, number))
    return session


def read_config(options: ReadOptions, beside: Path | None) -> JsonObject:
    """Read what airflow.cfg and AIRFLOW__… say about schedules; the rest as Airflow 3 has it."""
    found = dict(_DEFAULTS)
    path = find_config(options, beside)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    if path is not None:
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            parser = configparser.ConfigParser()
    for name, section in _SECTIONS.items():
        text = os.environ.get(f"AIRFLOW__{section.upper()}__{name.upper()}") or parser.get(section, name, fallback=None)
        if text is not None:
            found[name] = text.strip().lower() in ("true", "t", "1") if isinstance(found[name], bool) else text.strip()
    return found


def read_file(path: Path, world: World, number: int) -> JsonObject:
    """Follow one file and describe its DAGs; a file that Python or Airflow would refuse is an error of the answer."""
    machine = Machine(world)
    machine.file = str(path)
    errors: list[JsonObject] = []
    try:
        imports.load(machine, dag_module_name(path), path)
    except Raises as error:
        errors.append({"file": error.file, "line": error.line, "message": str(error)})
    except TooMuchError:
        message = "the file takes more steps than static reading follows"
        errors.append({"file": str(path), "line": machine.line, "message": f"TooMuch: {message}"})
    except RecursionError:
        errors.append({"file": str(path), "line": machine.line, "message": "RecursionError: nested too deep"})
    machine.file, machine.maybe = str(path), []
    dags: list[JsonObject] = [] if errors else [dag_facts(machine, dag) for dag in _registered(machine)]
    reads = machine.reads
    return {
        "kind": "file",
        "path": str(path),
        "pass": number,
        "dags": sorted(dags, key=lambda dag: (dag["line"] or 0, dag["dag_id"])),
        "errors": errors,
        "modules": {name: str(each.file) for name, each in sorted(machine.modules.items()) if each.text},
        "stubs": {},
        "stub_uses": [],
        "legacy": dict(sorted(machine.legacy.items())),
        "clock": sorted([list(site) for site in reads.clock], key=str),
        "variables": reads.variables,
        "connections": reads.connections,
        "environment": reads.environment,
        "missing_variables": sorted(reads.missing_variables),
        "missing_connections": sorted(reads.missing_connections),
        "doubts": [doubt_fact(doubt) for doubt in machine.doubts],
        "unreached": unreached_calls(machine) if not errors else [],
        "made": [[file, line, column, count] for (file, line, column), count in sorted(machine.made.items())],
    }


def _registered(machine: Machine) -> list[Any]:
    """List the DAGs Airflow would find: entered with `with`, made by @dag, or bound to a name of the module."""
    from pgdurable_airflow.importer.load.syntax.values import Dag

    main = next(iter(machine.modules.values()), None)
    bound = {id(value) for value in main.names.values() if isinstance(value, Dag)} if main is not None else set()
    return [dag for dag in machine.dags if dag.tasks or dag.is_registered or id(dag) in bound or dag.doubts]
