"""The README says nothing that was not run: its commands, what they print, the tests it names."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from example_runs import EXAMPLES, ROOT, Example
from psycopg.conninfo import conninfo_to_dict
from server import Database

from pgdurable_core.embedded import find_binaries

README = (ROOT / "README.md").read_text()
SETUP = [
    "python3 -m venv .venv && .venv/bin/pip install -q '.[all]' && "
    ".venv/bin/pgdurable import airflow examples/01_orders_daily/dags/orders_daily.py --run",
    ".venv/bin/pip install -q '.[dev]' && .venv/bin/pytest",
]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the heading it stands under."""

    language: str
    text: str
    heading: str


def read_blocks(markdown: str) -> Iterator[Block]:
    heading, language, lines = "", None, list[str]()
    for line in markdown.splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines = line[3:], []
            else:
                yield Block(language, "\n".join(lines) + "\n", heading)
                language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert language is None, "a block is not closed"


BLOCKS = tuple(read_blocks(README))


def blocks(language: str, heading: str) -> list[str]:
    return [block.text for block in BLOCKS if (block.language, block.heading) == (language, heading)]


def run_block(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def own_database(empty_database: Database, newcomer: Mapping[str, str]) -> dict[str, str]:
    """The environment of somebody with psql and an empty database."""
    parts = conninfo_to_dict(empty_database.dsn)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "password": "PGPASSWORD"}
    environment = {variable: str(parts[key]) for key, variable in names.items() if parts.get(key)}
    path = os.pathsep.join([str(find_binaries()), newcomer["PATH"]])
    return {**newcomer, **environment, "PATH": path}


def test_there_are_exactly_the_two_commands_of_the_set_up() -> None:
    setup, *_ = blocks("sh", "Sixty seconds")
    assert setup.splitlines() == SETUP
    installs = [block.text for block in BLOCKS if block.language == "sh" and re.search(r"\bpip\b|apt|brew", block.text)]
    assert installs == [setup]


def test_the_set_up_is_what_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    steps = [part.removeprefix(".venv/bin/") for part in SETUP[1].split(" && ")]
    assert steps == ["pip install -q '.[dev]'", "pytest"]
    assert all(re.search(rf"(?m)(^|\s){re.escape(step)}$", ci) for step in steps)
    # [dev] holds all of [all], so what CI installs and tests is what the first command installs.
    assert re.search(r'(?s)\ndev = \[[^]]*"pgdurable\[all\]"', (ROOT / "pyproject.toml").read_text())


def test_every_block_of_commands_is_run_by_a_test_here() -> None:
    run = {"Sixty seconds": 2, "Without Python: psql alone": 1, "Kill it half way": 1}
    found = {heading: len(blocks("sh", heading)) for heading in {block.heading for block in BLOCKS}}
    assert {heading: count for heading, count in found.items() if count} == run
    assert {block.language for block in BLOCKS} == {"sh", "sql", "text"}


def test_what_the_first_command_prints_is_what_the_example_prints() -> None:
    (printed,) = blocks("text", "Sixty seconds")
    expected = iter((EXAMPLES / "01_orders_daily" / "expected.txt").read_text().splitlines())
    for line in printed.splitlines():
        assert line == "..." or line in expected, line


def test_the_sql_it_shows_is_in_the_file() -> None:
    (excerpt,) = blocks("sql", "Sixty seconds")
    assert excerpt in (EXAMPLES / "01_orders_daily" / "workflows" / "orders_daily.sql").read_text()


def test_the_commands_after_the_first_run_work(example: Example, tmp_path: Path) -> None:
    example.run()
    _, commands = blocks("sh", "Sixty seconds")
    said = run_block(commands, tmp_path, example.environment)
    assert "orders_daily" in said.splitlines()[1]
    assert re.search(r"rebuild +\| +\| skipped", said)
    assert re.search(r"ok +rebuild .*\n", said), "--param mode=full takes the other way"


def test_a_workflow_of_sql_needs_psql_alone(own_database: dict[str, str], tmp_path: Path) -> None:
    (commands,) = blocks("sh", "Without Python: psql alone")
    (printed,) = blocks("text", "Without Python: psql alone")
    assert [line for line in commands.splitlines() if line.startswith("pgdurable")] == [
        "pgdurable schema sql | psql -q -v ON_ERROR_STOP=1"
    ]
    assert run_block(commands, tmp_path, own_database) == printed


def test_what_was_killed_half_way_is_finished_by_another_session(
    own_database: dict[str, str], tmp_path: Path, empty_database: Database
) -> None:
    run_block("pgdurable schema sql | psql -q -v ON_ERROR_STOP=1", tmp_path, own_database)
    (commands,) = blocks("sh", "Kill it half way")
    (printed,) = blocks("text", "Kill it half way")
    created, name, half, whole = run_block(commands, tmp_path, own_database).splitlines()
    assert [created, name, "3", whole] == printed.splitlines()
    assert 3 <= int(half) < 10
    assert empty_database.execute("select count(*), count(distinct line) from ledger") == [(10, 10)]
    assert empty_database.execute("select status from df.instances") == [("completed",)]


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)` (test_\w+)", README)
    assert len(named) >= 15
    missing = [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_room_it_names_is_there() -> None:
    rooms = [
        room for cell in re.findall(r"(?m)^\| (`[^|]*/`[^|]*) \|", README) for room in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(rooms) >= 10
    assert [room for room in rooms if not (ROOT / room).is_dir()] == []
