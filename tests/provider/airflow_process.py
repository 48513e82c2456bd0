"""A real Airflow in a process beside the tests, spoken to in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from server import Database

DAGS = Path(__file__).with_name("dags")


class AirflowProcess:
    """Airflow with a home of its own; several may share one, one after another."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._log = home / f"log-{os.getpid()}-{len(list(home.glob('log-*')))}.txt"
        answers, theirs = os.pipe()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PG"))}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("airflow_side.py")), str(theirs)],
                env={
                    **kept,
                    "AIRFLOW_HOME": str(home),
                    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
                    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
                    "PYTHONWARNINGS": "ignore",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **environment,
                },
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=[theirs],
            )
        os.close(theirs)
        self._answers = os.fdopen(answers)
        self._heard = 0

    def __enter__(self) -> AirflowProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self._answers.close()

    def ask(self, do: str, **arguments: object) -> Any:
        self.tell(do, **arguments)
        return self.answer()

    def answer(self) -> Any:
        line = self._answers.readline()
        assert line, self.log()[-6000:]
        answer = json.loads(line)
        assert "error" not in answer, answer["error"] + self.log()[-6000:]
        return answer["value"]

    def tell(self, do: str, **arguments: object) -> None:
        """Ask without waiting for the answer."""
        question = {"do": do, "arguments": arguments}
        assert self.process.stdin is not None
        self._heard = self._log.stat().st_size
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def log(self) -> str:
        """Return what Airflow logged for the last question, task logs included."""
        with self._log.open() as log:
            log.seek(self._heard)
            return log.read()


def connection_to(database: Database) -> dict[str, str]:
    """Return the environment in which the default connection leads to a database."""
    parts = conninfo_to_dict(database.dsn)
    connection = {
        "conn_type": "pgdurable",
        "host": parts.get("host"),
        "port": int(str(parts["port"])) if parts.get("port") else None,
        "login": parts.get("user"),
        "password": parts.get("password"),
        "schema": parts.get("dbname"),
    }
    return {"AIRFLOW_CONN_PGDURABLE_DEFAULT": json.dumps(connection)}
