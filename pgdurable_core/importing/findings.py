"""Findings: everything an importer has to say about what it read.

A finding's weight decides the fidelity of its task, and totals are computed from that alone:
`note` and `mend` change nothing (the DAG's own mistakes are imported unchanged), `changed` means the same outcome by
another way, `decide` wants a person, `blocked` cannot run here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

Weight = Literal["note", "mend", "changed", "decide", "blocked"]
Fidelity = Literal["exact", "equivalent", "review", "blocked"]
Home = Literal["native", "worker", "operator", "airflow"]

WEIGHTS: Final[tuple[Weight, ...]] = get_args(Weight)
FIDELITIES: Final[tuple[Fidelity, ...]] = get_args(Fidelity)
HOMES: Final[tuple[Home, ...]] = get_args(Home)

FIDELITY_OF: Final[dict[Weight, Fidelity]] = {
    "note": "exact",
    "mend": "exact",
    "changed": "equivalent",
    "decide": "review",
    "blocked": "blocked",
}


@dataclass(frozen=True, slots=True)
class FindingCode:
    """One entry of an importer's catalogue: what `pgdurable finding CODE` prints."""

    code: str
    title: str
    weight: Weight
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, at one place.

    `short` fits into a table cell. `what` says what stands there, `happens` what becomes of it, `remedy` what a person
    can do. `task` is None when the finding is about the whole DAG, `dag` when it is about the file. `line` and
    `column` count from 1.
    """

    code: str
    weight: Weight
    short: str
    what: str
    happens: str = ""
    remedy: str = ""
    dag: str | None = None
    task: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def place(self) -> str:
        """Write `file:line:column`, as far as it is known."""
        parts = [part for part in (self.file, self.line, self.column) if part is not None]
        return ":".join(str(part) for part in parts)


def fidelity(findings: Iterable[Finding]) -> Fidelity:
    """Say how faithful a task is: as faithful as its heaviest finding lets it be."""
    heaviest = max((WEIGHTS.index(finding.weight) for finding in findings), default=0)
    return FIDELITY_OF[WEIGHTS[heaviest]]
