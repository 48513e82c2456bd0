"""What static reading knows of Airflow's classes is what the installed Airflow shows."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from airflow_oracle import ROOT
from golden import assert_golden
from pgdurable_airflow.importer.load.syntax import library

CHILD = ROOT / "adapters" / "airflow" / "pgdurable_airflow" / "importer" / "load" / "child.py"


def test_the_library_is_the_one_a_real_airflow_shows(tmp_path: Path, needs_airflow: None) -> None:
    if version("apache-airflow") != library.version():
        pytest.skip(f"the library was written with Airflow {library.version()}")
    environment = {
        **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    script = Path(__file__).with_name("airflow_library.py")
    out = tmp_path / "airflow.json"
    subprocess.run(
        [sys.executable, str(script), str(CHILD), str(out)], env=environment, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    assert_golden(library.FILE, out.read_text())
