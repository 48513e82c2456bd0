"""What every importer shares: the protocol, the registry, findings, the files and the report.

importer = load_importer("airflow")
result = importer.read([Path("dags")], ReadOptions())
render_terminal(console, result)
written = write_workflows(result, Path("workflows"), report=render_markdown(result))
left = remove_leftovers(result, Path("workflows"), written)
"""

from pgdurable_core.importing.files import Conflict, WriteResult, write_workflows
from pgdurable_core.importing.findings import Finding, FindingCode
from pgdurable_core.importing.leftovers import Leftover, remove_leftovers
from pgdurable_core.importing.protocol import (
    ImportedTask,
    ImportedWorkflow,
    Importer,
    ModuleSource,
    ReadFacts,
    ReadFailure,
    ReadOptions,
    ReadResult,
)
from pgdurable_core.importing.registry import find_code, importer_names, load_importer
from pgdurable_core.importing.report.json import render_json
from pgdurable_core.importing.report.markdown import render_markdown
from pgdurable_core.importing.report.terminal import render_terminal

__all__ = [
    "Conflict",
    "Finding",
    "FindingCode",
    "ImportedTask",
    "ImportedWorkflow",
    "Importer",
    "Leftover",
    "ModuleSource",
    "ReadFacts",
    "ReadFailure",
    "ReadOptions",
    "ReadResult",
    "WriteResult",
    "find_code",
    "importer_names",
    "load_importer",
    "remove_leftovers",
    "render_json",
    "render_markdown",
    "render_terminal",
    "write_workflows",
]
