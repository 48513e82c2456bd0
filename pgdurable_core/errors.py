"""Every error a caller can meet, as one tree. Imports nothing of ours.

`EngineError` and below come from the database, one class per SQLSTATE of class PD; the table in `sql/README.md` is the
same list. The others arise on this side. `exit_code` is what the command line ends with: 1 the answer is no, 2 the
command was wrong, 3 the database or its schema is not fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document or a graph.

    `code` is a stable word for programs, `place` a JSON pointer into the document (`/steps/3/after/0`), empty for the
    whole. `step` and `source` name the step and where its author wrote it, as far as they are known.
    """

    code: str
    message: str
    place: str = ""
    step: str | None = None
    source: str | None = None

    def show(self) -> str:
        """Write one line: the step and its source, else the place, then what is wrong, then the code."""
        where = " ".join(part for part in (self.step, f"({self.source})" if self.source else None) if part)
        where = where or self.place
        return f"{where}: {self.message} [{self.code}]" if where else f"{self.message} [{self.code}]"


class PgDurableError(Exception):
    """The root of the tree: a message for people, what lies behind it, and what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        return self.message

    def show(self) -> str:
        """Write the error for a terminal: the message, then detail, hint and code, each on its own line if present."""
        rows = (("detail", self.detail), ("hint", self.hint), ("code", self.sqlstate))
        return "\n".join([self.message, *(_row(label, text) for label, text in rows if text)])


class UsageError(PgDurableError):
    """The command, an option or `pgdurable.toml` is wrong; nothing was done."""

    exit_code = 2


class MissingDependencyError(UsageError):
    """A package this command needs is not installed; the hint says how to install it."""


class DocumentError(PgDurableError):
    """A graph document, or the graph in it, is refused; `problems` lists everything found, not the first."""

    def __init__(self, problems: Iterable[Problem], *, name: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        what = f"the graph document of {name}" if name else "the graph document"
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{what} has {count}", detail="\n".join(problem.show() for problem in self.problems))
        self.args = (self.problems,)


class ImportFailedError(PgDurableError):
    """A source file could not be turned into a graph; nothing was written for it."""


class FileEditedError(PgDurableError):
    """A file that would be written was edited by a person, or is not ours; it was left as it is."""


class OutputError(UsageError):
    """A file cannot be written or removed where it was asked for; what was there before is there as it was."""


class DatabaseUnavailableError(PgDurableError):
    """The database cannot be reached, or the connection broke."""

    exit_code = 3


class SchemaError(PgDurableError):
    """Schema df is missing, of another version, not ours, or closed to this role."""

    exit_code = 3


class EngineError(PgDurableError):
    """The engine refused, with an SQLSTATE of class PD; this class itself stands for codes newer than this client."""


class DefinitionError(EngineError):
    """PD400: the definition or an argument is wrong."""


class NotAllowedError(EngineError):
    """PD403: not allowed for this role, or refused for safety."""


class NotFoundError(EngineError):
    """PD404: no such workflow, instance or step."""


class StepTimeoutError(EngineError):
    """PD408: timed out."""


class ConflictError(EngineError):
    """PD409: the claim is lost, or the state does not allow it."""


class QuarantinedError(EngineError):
    """PD410: the step was quarantined, because its attempts vanished."""


class TooLargeError(EngineError):
    """PD413: too large."""


class CheckFailedError(EngineError):
    """PD422: a check said no."""


class CancelledError(EngineError):
    """PD499: cancelled."""


class SetupError(EngineError):
    """PD500: this database cannot run the engine as it is set up; the hint names the command."""

    exit_code = 3


class NotSupportedHereError(EngineError):
    """PD501: not supported by this version."""


class DrainingError(EngineError):
    """PD503: draining for an upgrade; try again when it is done."""

    exit_code = 3


BY_SQLSTATE: Final[dict[str, type[EngineError]]] = {
    "PD400": DefinitionError,
    "PD403": NotAllowedError,
    "PD404": NotFoundError,
    "PD408": StepTimeoutError,
    "PD409": ConflictError,
    "PD410": QuarantinedError,
    "PD413": TooLargeError,
    "PD422": CheckFailedError,
    "PD499": CancelledError,
    "PD500": SetupError,
    "PD501": NotSupportedHereError,
    "PD503": DrainingError,
}

# PostgreSQL appendix A: class 08 connection exceptions; 57P01 to 57P05 the server or session went away or is not
# ready; 53300 too many connections.
_UNAVAILABLE: Final = frozenset({"53300", "57P01", "57P02", "57P03", "57P04", "57P05"})


def from_sqlstate(
    sqlstate: str | None, message: str, *, detail: str | None = None, hint: str | None = None
) -> PgDurableError | None:
    """Translate a database error of ours, or one that means the database is gone; None for all others.

    A code of class PD that this client does not know becomes `EngineError`. Errors of the user's own SQL are not
    translated: they pass as psycopg raised them.
    """
    if sqlstate is None:
        return None
    if sqlstate in _UNAVAILABLE or sqlstate.startswith("08"):
        return DatabaseUnavailableError(message, detail=detail, hint=hint, sqlstate=sqlstate)
    if not sqlstate.startswith("PD"):
        return None
    return BY_SQLSTATE.get(sqlstate, EngineError)(message, detail=detail, hint=hint, sqlstate=sqlstate)


def _row(label: str, text: str) -> str:
    lines: Sequence[str] = text.splitlines()
    return "\n".join([f"  {label:<7} {lines[0]}", *(" " * 10 + line for line in lines[1:])])
