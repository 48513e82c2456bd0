"""`schema sql`: the same installation for people who read before they run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from server import Database, TestServer

from pgdurable_core.embedded import find_binaries
from pgdurable_core.schema import install, package_version, render_sql, verify
from pgdurable_core.schema.fingerprint import take_fingerprint


def psql(database: Database, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "engine.sql"
    file.write_text(script)
    return subprocess.run(
        [find_binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file), database.dsn],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("server", [18, 16, 15], indirect=True)
def test_the_script_applied_by_psql_equals_init(server: TestServer, empty_database: Database, tmp_path: Path) -> None:
    done = psql(empty_database, render_sql(package_version()), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    other = server.create_database()
    with empty_database.connect() as scripted, other.connect() as installed:
        install(installed)
        assert take_fingerprint(scripted) == take_fingerprint(installed)
        assert verify(scripted).is_equal
        row = "select to_jsonb(e) - 'installed_at' - 'database_oid' from df._engine e"
        assert scripted.execute(row).fetchall() == installed.execute(row).fetchall()
        assert install(scripted).outcome == "unchanged"
    other.drop()


def test_the_script_refuses_a_database_that_has_a_schema_df(database: Database, tmp_path: Path) -> None:
    database.execute("insert into df._variables (name, value) values ('kept', 'yes')")
    done = psql(database, render_sql(package_version()), tmp_path)
    assert done.returncode == 3
    assert "schema df or df_runners exists already" in done.stderr
    assert database.execute("select value from df._variables") == [("yes",)]


def test_the_script_is_the_same_every_time_and_needs_no_psql_commands() -> None:
    script = render_sql("1.0")
    assert script == render_sql("1.0")
    assert [line for line in script.splitlines() if line.startswith("\\")] == []
