"""The pytest plugin: `pgdurable_trial` runs a workflow file in a database of the test's own.

Imported whenever pytest starts, so everything else is imported by the fixtures that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pgdurable_core.testing.session import Session
    from pgdurable_core.testing.trial import Run, Trial

_RUNS = pytest.StashKey["list[Run]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project say on which server its trials run."""
    words = "where pgdurable_trial makes its databases: a DSN, or env:NAME; without it the embedded server"
    parser.addini("pgdurable_dsn", words, default="")


@pytest.fixture(scope="session")
def pgdurable_session(pytestconfig: pytest.Config) -> Iterator[Session]:
    """The server of this session, with a template database that has the engine in it."""
    from pgdurable_core.testing.session import open_session

    with open_session(str(pytestconfig.getini("pgdurable_dsn"))) as session:
        yield session


@pytest.fixture
def pgdurable_trial(request: pytest.FixtureRequest, pgdurable_session: Session) -> Iterator[Callable[..., Run]]:
    """Run a workflow file in a database of the test's own, dropped after the test; returns the ended run.

        run = pgdurable_trial("workflows/orders_daily.sql", fixture="seed.sql", date="2026-11-21", stubs={"erp": 3})

    Files are looked for beside the test, then from pytest's root. A second call in the same test runs in the same
    database: a second day, or the same one again. `stubs` are results in the shape of the step's kind; Python and shell
    steps that are not stubbed run for real if `outside` is True or names them, and are refused else. Without a date it
    is that of today. A failed run is returned like any other; what happened in it stands in pytest's report.
    """
    from pgdurable_core.cli.moments import read_moment
    from pgdurable_core.testing.stubs import plain
    from pgdurable_core.testing.trial import allowed

    runs: list[Run] = []
    request.node.stash[_RUNS] = runs
    trials: list[Trial] = []

    def find(name: str | Path) -> Path:
        places = (request.path.parent / name, request.config.rootpath / name)
        return next((place for place in places if place.exists()), places[0])

    with ExitStack() as stack:

        def run(
            files: str | Path | Sequence[str | Path],
            *,
            workflow: str | None = None,
            fixture: str | Path | Sequence[str | Path] = (),
            date: object = None,
            params: Mapping[str, object] | None = None,
            stubs: Mapping[str, object] | None = None,
            outside: bool | Collection[str] = False,
            timeout: float = 300,
        ) -> Run:
            paths = [find(name) for name in ([files] if isinstance(files, str | Path) else files)]
            if not trials:
                trials.append(stack.enter_context(pgdurable_session.trial(paths)))
            trial = trials[0]
            found = trial.deploy(paths)
            trial.stub({key: plain(value) for key, value in (stubs or {}).items()})
            allowed(trial.outside(), outside)
            for name in [fixture] if isinstance(fixture, str | Path) else fixture:
                trial.seed(find(name))
            one = pgdurable_session.choose(found, workflow)
            values = {key: plain(value) for key, value in (params or {}).items()}
            ended = trial.wait(trial.start(one, None if date is None else read_moment(date), values), timeout)
            runs.append(ended)
            return ended

        yield run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None] | pytest.TestReport:  # a generator whose return value is the report
    """Show the runs of a test that failed: every step, every error, what failed steps printed last."""
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if report.when == "call" and report.failed:
        for run in item.stash.get(_RUNS, []):
            report.sections.append(("pgdurable run", run.show()))
    return report
