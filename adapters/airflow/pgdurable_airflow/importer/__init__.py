"""The Airflow importer: DAG files to workflows, every task accounted for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.reading import read
from pgdurable_core.errors import NotSupportedHereError
from pgdurable_core.importing.findings import FindingCode
from pgdurable_core.importing.protocol import Cutover, ImportedWorkflow, Live, Oracle, ReadOptions, ReadResult

__all__ = ["AirflowImporter"]


class AirflowImporter:
    """Reads Airflow DAGs by executing them under a real Airflow in a child process, or by their syntax alone."""

    @property
    def name(self) -> str:
        """The word after `pgdurable import`."""
        return "airflow"

    @property
    def codes(self) -> Mapping[str, FindingCode]:
        """Every finding this importer can make."""
        return CODES

    def read(self, paths: Sequence[Path], options: ReadOptions | None = None) -> ReadResult:
        """Read DAG files and folders; one bad file never stops the others."""
        return read(paths, options or ReadOptions())

    def oracle(self, workflow: ImportedWorkflow) -> Oracle:
        """Raise NotSupportedHereError: this version compares with Airflow in its own tests only."""
        raise NotSupportedHereError(f"there is no oracle for {workflow.name} in this version", sqlstate="PD501")

    def live(self, url: str) -> Live:
        """Raise NotSupportedHereError: this version speaks to no running Airflow."""
        raise NotSupportedHereError(f"this version does not speak to a running Airflow ({url})", sqlstate="PD501")

    def cutover(self, plan: Path) -> Cutover:
        """Raise NotSupportedHereError: this version moves no workflow over by itself."""
        raise NotSupportedHereError(f"this version has no cutover ({plan})", sqlstate="PD501")
