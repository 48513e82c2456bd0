"""What every importer shares: the protocol, the registry, findings, the files and the report.

importer = load_importer("airflow")
result = importer.read([Path("dags")], ReadOptions())
report = make_report(result)
render_terminal(console, report)
written = write_workflows(result, Path("workflows"), report_files(report))
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
from pgdurable_core.importing.report import (
    FAIL_ON,
    FailOn,
    Gates,
    Report,
    load_report,
    make_report,
    render_json,
    render_markdown,
    render_terminal,
    report_files,
    report_schema,
)

__all__ = [
    "FAIL_ON",
    "Conflict",
    "FailOn",
    "Finding",
    "FindingCode",
    "Gates",
    "ImportedTask",
    "ImportedWorkflow",
    "Importer",
    "Leftover",
    "ModuleSource",
    "ReadFacts",
    "ReadFailure",
    "ReadOptions",
    "ReadResult",
    "Report",
    "WriteResult",
    "find_code",
    "importer_names",
    "load_importer",
    "load_report",
    "make_report",
    "remove_leftovers",
    "render_json",
    "render_markdown",
    "render_terminal",
    "report_files",
    "report_schema",
    "write_workflows",
]
