"""Reports: one model (`model.py`), rendered for a terminal, as Markdown and as JSON."""

from pgdurable_core.importing.protocol import WorkflowFile
from pgdurable_core.importing.report.gates import FAIL_ON, FailOn, Gates
from pgdurable_core.importing.report.json import load_report, render_json, report_schema
from pgdurable_core.importing.report.markdown import render_markdown
from pgdurable_core.importing.report.model import Report, make_report
from pgdurable_core.importing.report.terminal import render_terminal

__all__ = [
    "FAIL_ON",
    "FailOn",
    "Gates",
    "Report",
    "load_report",
    "make_report",
    "render_json",
    "render_markdown",
    "render_terminal",
    "report_files",
    "report_schema",
]


def report_files(report: Report) -> tuple[WorkflowFile, ...]:
    """Write the report as the files of an import: one of each kind, however many workflows were read.

    Without any workflow there are none: an import that brought nothing writes nothing.
    """
    if not report.workflows:
        return ()
    return WorkflowFile("report.md", render_markdown(report)), WorkflowFile("report.json", render_json(report))
