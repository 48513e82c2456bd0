"""An example in a copy of its own, run the way its README says, by the `pgdurable` of this environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Example:
    """A copied folder and the environment in which commands run there."""

    folder: Path
    environment: Mapping[str, str]

    def run(self) -> str:
        """Run `run.sh` and return what a person at a terminal sees: stdout and stderr in their order."""
        done = subprocess.run(
            ["sh", "./run.sh"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def environment_of(home: Path, erp_port: int) -> dict[str, str]:
    """Give commands their own home and the programs beside this interpreter, and nothing that could steer them."""
    beside = str(Path(sys.executable).parent)
    assert shutil.which("pgdurable", path=beside), f"pgdurable is not installed in {beside}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AIRFLOW", "ERP"))}
    return {
        **kept,
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]),
        "PGDURABLE_HOME": str(home),
        "COLUMNS": "130",
        "ERP_PORT": str(erp_port),
        "ERP_URL": f"http://127.0.0.1:{erp_port}/orders",
    }
