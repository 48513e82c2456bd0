"""What Airflow's own classes look like, as `airflow.json` has them from a real Airflow.

The file is written and compared by tests/adapters/static; nothing of Airflow is imported here.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pgdurable_airflow.importer.load import child

LEGACY: Final[Mapping[str, str]] = child.LEGACY
POSTGRES_OPERATORS: Final[tuple[str, ...]] = child.POSTGRES_OPERATORS
DAYS_AGO: Final[str] = child.DAYS_AGO
APPLY_DEFAULTS: Final[str] = child.APPLY_DEFAULTS
FILE: Final = Path(__file__).with_name("airflow.json")
BASE: Final = "airflow.sdk.bases.operator.BaseOperator"
SENSOR: Final = "airflow.sdk.bases.sensor.BaseSensorOperator"
POSTGRES: Final = POSTGRES_OPERATORS[0]
EXECUTE_QUERY: Final = "airflow.providers.common.sql.operators.sql.SQLExecuteQueryOperator"
PYTHON: Final = "airflow.providers.standard.operators.python.PythonOperator"
BASH: Final = "airflow.providers.standard.operators.bash.BashOperator"
# Classes whose objects hold their arguments as they were given, and defaults for the others.
_PLAIN: Final = frozenset(
    {PYTHON, EXECUTE_QUERY, POSTGRES, "airflow.providers.common.sql.operators.sql.SQLCheckOperator",
     BASH, "airflow.providers.standard.operators.empty.EmptyOperator",
     "airflow.providers.standard.operators.latest_only.LatestOnlyOperator", BASE, SENSOR}
)  # fmt: skip
OPERATOR_ENDINGS: Final = ("Operator", "OperatorAsync", "Sensor", "SensorAsync", "Transfer", "Check", "Marker")
OLD_NAMES: Final = (*LEGACY, *POSTGRES_OPERATORS, DAYS_AGO, APPLY_DEFAULTS)

JsonObject = dict[str, Any]


@lru_cache(maxsize=1)
def library() -> JsonObject:
    """Read the file once."""
    found: JsonObject = json.loads(FILE.read_text(encoding="utf-8"))
    found["operators"][POSTGRES] = _postgres(found)
    return found


def _postgres(found: JsonObject) -> JsonObject:
    """Describe the PostgresOperator that the child makes for files of Airflow 1 and 2."""
    parent = found["operators"][EXECUTE_QUERY]
    found["classes"][POSTGRES] = {
        "own": ["__init__"],
        "defaults": [],
        "methods": [],
        "parameters": ["sql", "postgres_conn_id", "database", "runtime_parameters"],
    }
    return {**parent, "chain": [POSTGRES, *parent["chain"]]}


def version() -> str:
    """Name the Airflow whose classes these are."""
    return str(library()["airflow"])


def entry(dotted: str) -> tuple[str, str] | None:
    """Find what a dotted name of Airflow's is: its kind (class, function, value) and its full name."""
    module, _, leaf = dotted.rpartition(".")
    found = library()["names"].get(module, {}).get(leaf)
    if found is None:
        if dotted in library()["operators"]:
            return "class", dotted
        return None
    kind, _, place = str(found).partition(" ")
    return kind, place.replace(":", ".")


def full_name(dotted: str) -> str:
    """Resolve a name to the one its definition has; legacy names to what the child makes of them."""
    if dotted in LEGACY:
        dotted = LEGACY[dotted]
    elif dotted in POSTGRES_OPERATORS:
        return POSTGRES
    found = entry(dotted)
    if found is None:
        # A name of a class: its methods and members go by the class's own name.
        owner, _, leaf = dotted.rpartition(".")
        of_class = entry(owner) if owner else None
        return f"{of_class[1]}.{leaf}" if of_class is not None and of_class[0] == "class" else dotted
    return dotted if found[0] == "value" else found[1]


def operator(full: str) -> JsonObject | None:
    """Find what is known of an operator class."""
    found: JsonObject | None = library()["operators"].get(full)
    return found


def keeps_arguments(full: str) -> bool:
    """Say whether an object's attributes are its arguments, or their defaults, and nothing computed."""
    found = operator(full)
    return full in _PLAIN or (found is not None and not {PYTHON, BASH}.isdisjoint(found["chain"]))


def accepted(full: str) -> frozenset[str]:
    """Name every argument the constructors of a class take."""
    found = operator(full)
    chain = found["chain"] if found is not None else [BASE]
    classes: Mapping[str, JsonObject] = library()["classes"]
    return frozenset(name for each in chain for name in classes.get(each, {}).get("parameters", ()))


def looks_like_operator(dotted: str) -> bool:
    """Say whether a name is that of an operator by Airflow's custom."""
    leaf = dotted.rpartition(".")[2]
    return leaf[:1].isupper() and leaf.endswith(OPERATOR_ENDINGS)
