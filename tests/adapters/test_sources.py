"""What the child is told: configuration where it lies, Variables and Connections without their secrets."""

import json
from pathlib import Path

import pytest
from pgdurable_airflow.importer.load.live import SENTINEL, find_config, read_sources
from pgdurable_airflow.importer.reading import find_jobs

from pgdurable_core.errors import UsageError
from pgdurable_core.importing import ReadOptions


def test_secrets_of_every_form_of_connection_become_sentinels(tmp_path: Path) -> None:
    file = tmp_path / "connections.json"
    file.write_text(
        json.dumps(
            {
                "uri": "postgresql://me:hidden@host:5432/db?sslpassword=hidden",
                "object": {"conn_type": "http", "host": "h", "password": "hidden", "extra": '{"token": "hidden"}'},
                "plain": {"conn_type": "fs", "extra": "hidden"},
            }
        )
    )
    found = read_sources(ReadOptions(connections=file)).connections
    assert "hidden" not in repr({name: found[name] for name in ("uri", "object", "plain")})
    assert found["uri"]["password"] == f"{SENTINEL}-connection-uri-password"
    assert (found["uri"]["host"], found["uri"]["port"], found["uri"]["schema"]) == ("host", 5432, "db")
    assert found["object"]["extra"] == {"token": f"{SENTINEL}-connection-object-token"}


def test_variables_keep_their_values_unless_their_name_tells_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_REGION", "eu")
    monkeypatch.setenv("AIRFLOW_VAR_API_KEY", "hidden")
    file = tmp_path / "variables.json"
    file.write_text(json.dumps({"schema": "dev", "limits": {"a": 1}, "db_password": "hidden"}))
    found = read_sources(ReadOptions(variables=file)).variables
    assert {name: found[name] for name in ("schema", "limits", "db_password", "region", "api_key")} == {
        "schema": "dev",
        "limits": '{"a": 1}',
        "db_password": f"{SENTINEL}-variable-db_password",
        "region": "eu",
        "api_key": f"{SENTINEL}-variable-api_key",
    }


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_file_of_variables_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "variables.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        read_sources(ReadOptions(variables=file))


def test_airflow_cfg_is_found_where_airflow_would_find_it_or_beside_the_dags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONFIG", raising=False)
    monkeypatch.delenv("AIRFLOW_HOME", raising=False)
    assert find_config(ReadOptions(), tmp_path) is None
    beside = tmp_path / "airflow.cfg"
    beside.write_text("")
    assert find_config(ReadOptions(), tmp_path) == beside
    home = tmp_path / "home"
    home.mkdir()
    (home / "airflow.cfg").write_text("")
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    assert find_config(ReadOptions(), tmp_path) == home / "airflow.cfg"
    assert find_config(ReadOptions(config=beside), tmp_path) == beside
    with pytest.raises(UsageError):
        find_config(ReadOptions(config=tmp_path / "absent.cfg"))


def test_a_folder_gives_the_files_that_could_hold_a_dag_wherever_it_lies(tmp_path: Path) -> None:
    dags = tmp_path / ".hidden" / "dags"
    for name, text in (
        ("a.py", "from airflow.sdk import DAG"),
        ("sub/b.py", "import airflow  # dag"),
        ("c.py", "print(1)"),
        (".git/d.py", "from airflow.sdk import DAG"),
    ):
        (dags / name).parent.mkdir(parents=True, exist_ok=True)
        (dags / name).write_text(text)
    assert [job.path.relative_to(dags).as_posix() for job in find_jobs([dags])] == ["a.py", "sub/b.py"]
    assert find_jobs([dags / "sub" / "b.py"])[0].roots == (dags,)
    assert len(find_jobs([dags, dags / "a.py"])) == 2
