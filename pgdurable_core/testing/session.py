"""What a test session shares: a server, and a database with the engine to copy for every test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgdurable_core.cli.project import EMBEDDED, Environment, find_project, resolve_reference
from pgdurable_core.cli.target import place_of
from pgdurable_core.errors import UsageError
from pgdurable_core.testing.places import Place, embedded_place, named_place
from pgdurable_core.testing.trial import Trial, Workflow, open_trial


@dataclass(frozen=True, slots=True)
class Session:
    """Makes trials from copies of one template, which is several times as fast as installing the engine anew."""

    place: Place
    template: str

    def trial(self, paths: Sequence[Path]) -> AbstractContextManager[Trial]:
        """Open a trial for workflow files, with what the pgdurable.toml above them says of the embedded server."""
        project = find_project(paths)
        environment = project.environments.get(EMBEDDED, Environment(EMBEDDED))
        return open_trial(self.place, project, environment, copy_of=self.template)

    def choose(self, found: Sequence[Workflow], name: str | None) -> Workflow:
        """Return the one workflow that the files define, or that of this name. Raises UsageError."""
        fitting = [workflow for workflow in found if name in (None, workflow[1])]
        if len(fitting) != 1:
            there = ", ".join(workflow[1] for workflow in found)
            raise UsageError(f"one workflow is run at a time; the files define: {there}", hint='workflow="name"')
        return fitting[0]


@contextmanager
def open_session(dsn: str) -> Iterator[Session]:
    """Make the template on the server of a DSN, or on the embedded one, and drop it at the end."""
    named = resolve_reference(dsn)
    place = named_place(named, place_of(named)) if named else embedded_place()
    place.sweep()
    with place.scratch() as template:
        yield Session(place, template)
