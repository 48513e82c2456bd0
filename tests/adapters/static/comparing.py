"""Static reading beside live reading: every fact that is not said to be doubtful must be the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pgdurable_airflow.importer.load.live import Job, execute
from pgdurable_airflow.importer.load.static import read_statically

from pgdurable_core.importing import ReadOptions

# The doubt of static reading is no fact of live reading; the next run is shown and decides nothing; and what the
# decorators of Airflow hand to themselves stands beside it under its own name.
NOT_COMPARED = (
    "doubts",
    "runs",
    "kwargs_to_upstream",
    "operator_name",
    "stub",
    "searchpath",
    "undefined",
    "text",
    "by",
    "partly",
)
TASK_DOUBTS_COVER = ("upstream", "task_id", "classes")


@dataclass
class Comparison:
    """How many DAGs came out the same, how many static reading was not certain of, and how many differ all the same."""

    identical: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    different: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{len(self.identical)} DAGs identical, {len(self.uncertain)} uncertain, "
            f"{len(self.different)} different while claimed certain"
        ]
        for name, found in self.different.items():
            lines += [f"  {name}: {each}" for each in found[:8]]
        return "\n".join(lines)


def normal(value: Any) -> Any:
    """Take out of a fact what belongs to an installation: texts of library functions, their files, hashes of names."""
    if isinstance(value, dict):
        if "qualname" in value and "uses" in value:
            return _callable(value)
        if set(value) >= {"kind", "module", "name", "file"} and "line" not in value:
            return _use(value)
        if "max_active_runs" in value and "owner" in value:
            # Airflow joins the owners in the order of a set.
            value = {**value, "owner": sorted(str(value["owner"]).split(", "))}
        if value.get("$") == "object":
            return {"$": "object", "class": value["class"]}
        return {key: normal(inner) for key, inner in value.items() if key not in NOT_COMPARED}
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    return value


def _callable(value: Mapping[str, Any]) -> Any:
    if value.get("file") is None or "site-packages" in str(value["file"]):
        return {"library": [value.get("module"), value["name"]]}
    return {key: normal(inner) for key, inner in value.items()}


def _use(value: Mapping[str, Any]) -> Any:
    """A value's class is compared by whether it is Airflow's: that is what is asked of it."""
    if value["kind"] in ("value", "unknown"):
        return ["value", value["name"], value["module"].partition(".")[0] == "airflow"]
    if value["kind"] == "name":
        return ["name", value["name"]]
    return [value["kind"], value["name"], value["module"]]


def unknown_in(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("$") == "unknown" or any(unknown_in(inner) for inner in value.values())
    return isinstance(value, list) and any(unknown_in(inner) for inner in value)


def differences(live: Any, static: Any, place: str = "") -> Iterator[str]:
    """Name the places in which two facts differ, leaving out what static reading says it does not know."""
    if isinstance(static, dict) and (static.get("$") == "unknown" or "unknown" in static):
        return
    if isinstance(live, dict) and isinstance(static, dict):
        for key in sorted({*live, *static}):
            if key in live and key in static:
                yield from differences(live[key], static[key], f"{place}.{key}")
            elif (live.get(key) if key in live else static[key]) not in (None, False, []):
                yield f"{place}.{key}: {_short(live.get(key, 'absent'))} != {_short(static.get(key, 'absent'))}"
    elif isinstance(live, list) and isinstance(static, list) and len(live) == len(static):
        if static and static[0] == "name":
            return
        for number, (one, other) in enumerate(zip(live, static, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif live != static:
        yield f"{place}: {_short(live)} != {_short(static)}"


def _short(value: Any) -> str:
    return json.dumps(value)[:120]


def dag_differences(live: Mapping[str, Any], static: Mapping[str, Any]) -> list[str]:
    """Compare one DAG; where its shape is in doubt, only the tasks that both have and that are in no doubt."""
    mine = {task["task_id"]: task for task in static["tasks"]}
    theirs = {task["task_id"]: task for task in live["tasks"]}
    shaky = bool(static["doubts"])
    found: list[str] = []
    if not shaky:
        if list(mine) != list(theirs):
            found.append(f"tasks: {list(theirs)} != {list(mine)}")
        without = {key: value for key, value in live.items() if key != "tasks"}
        own = {key: value for key, value in static.items() if key != "tasks"}
        found += differences(normal(without), normal(own))
    for name in mine.keys() & theirs.keys():
        if mine[name]["doubts"]:
            continue
        for part in mine[name].get("partly", ()):
            theirs[name][part] = {key: value for key, value in theirs[name][part].items() if key in mine[name][part]}
        left = ("upstream", "params", "fields") if shaky else ()
        one = {key: value for key, value in theirs[name].items() if key not in left}
        other = {key: value for key, value in mine[name].items() if key not in left}
        found += differences(normal(one), normal(other), name)
    return found


def is_certain(static: Mapping[str, Any]) -> bool:
    return not static["doubts"] and not any(task["doubts"] for task in static["tasks"]) and not unknown_in(static)


def compare(files: Sequence[Path], roots: tuple[Path, ...], as_of: datetime) -> Comparison:
    """Read files both ways and compare every DAG."""
    jobs = [Job(file, roots) for file in files]
    live = execute(jobs, ReadOptions(), as_of, twice=False).answers
    static = read_statically(jobs, ReadOptions(), as_of, twice=False).answers
    found = Comparison()
    for job in jobs:
        theirs, mine = live[str(job.path)][0], static[str(job.path)][0]
        own = {dag["dag_id"]: dag for dag in mine["dags"]}
        shaky = bool(mine["doubts"]) or any(dag["doubts"] for dag in mine["dags"])
        for dag in theirs["dags"]:
            name = f"{job.path.name}:{dag['dag_id']}"
            if dag["dag_id"] not in own:
                if shaky:
                    found.uncertain.append(name)
                else:
                    found.different[name] = [f"not found; {mine['errors']}"]
                continue
            different = dag_differences(dag, own[dag["dag_id"]])
            if different:
                found.different[name] = different
            elif is_certain(own[dag["dag_id"]]):
                found.identical.append(name)
            else:
                found.uncertain.append(name)
        for name in own.keys() - {dag["dag_id"] for dag in theirs["dags"]}:
            if not own[name]["doubts"] and not theirs["errors"]:
                found.different[f"{job.path.name}:{name}"] = ["live reading has no such DAG"]
    return found
