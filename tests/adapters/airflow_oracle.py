"""Where the tests of the importer find things, and Airflow's own account of a folder."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "01_orders_daily"
DAGS = Path(__file__).parent / "dags"
AS_OF = datetime(2026, 11, 22, 12, tzinfo=UTC)

# Airflow's own account of a folder, read by Airflow alone, in a process of its own.
ORACLE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
answer = {}
for path in sys.argv[2:]:
    bag = BundleDagBag(path, bundle_path=Path(sys.argv[1]), safe_mode=False, bundle_name="oracle")
    for dag in bag.dags.values():
        answer.setdefault(path, {})[dag.dag_id] = {
            task.task_id: [sorted(task.upstream_task_ids), str(getattr(task.trigger_rule, "value", task.trigger_rule)),
                           task.retries if isinstance(task.retries, int) else 0]
            for task in dag.tasks}
Path(sys.argv[0]).with_suffix(".json").write_text(json.dumps(answer))
"""

Structure = Mapping[str, Mapping[str, Mapping[str, list[object]]]]


@dataclass(frozen=True)
class OracleRunner:
    folder: Path

    def __call__(self, root: Path, files: list[Path]) -> Structure:
        script = self.folder / "oracle.py"
        script.write_text(ORACLE)
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONWARNINGS": "ignore",
        }
        subprocess.run(
            [sys.executable, str(script), str(root), *map(str, files)],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
        )
        found: Structure = json.loads(script.with_suffix(".json").read_text())
        return found
