"""The report for machines; its schema is versioned by the key `pgdurable_report`."""

import json
from dataclasses import asdict

from pgdurable_core.importing.findings import Finding
from pgdurable_core.importing.protocol import ImportedWorkflow, ReadResult
from pgdurable_core.importing.report.model import Totals, all_tasks, readiness, totals

VERSION = 1


def render_json(result: ReadResult) -> str:
    """Write the whole reading as one JSON document; times spent are left out, so equal readings are equal text."""
    document = {
        "pgdurable_report": VERSION,
        "system": result.facts.system,
        "how": result.facts.how,
        "assumed": list(result.facts.assumed),
        "files": {"found": result.facts.files, "failed": len(result.failures)},
        "totals": _totals(totals(all_tasks(result))),
        "workflows": [_workflow(workflow) for workflow in result.imports],
        "failures": [{"path": failure.path, "finding": _finding(failure.finding)} for failure in result.failures],
        "findings": [_finding(finding) for finding in result.findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def _totals(counted: Totals) -> dict[str, object]:
    return {"tasks": counted.tasks, "homes": dict(counted.homes), "fidelities": dict(counted.fidelities)}


def _finding(finding: Finding) -> dict[str, object]:
    return {key: value for key, value in asdict(finding).items() if value not in (None, "")}


def _workflow(workflow: ImportedWorkflow) -> dict[str, object]:
    return {
        "name": workflow.name,
        "source": workflow.source,
        "source_hash": workflow.source_hash,
        "readiness": readiness(workflow),
        "schedule": {"words": workflow.schedule.words, "next_run": workflow.schedule.next_run},
        "totals": _totals(totals(workflow.tasks)),
        "needs": asdict(workflow.needs),
        "modules": {name: module.digest for name, module in workflow.modules.items()},
        "tasks": [asdict(task) for task in workflow.tasks],
        "findings": [_finding(finding) for finding in workflow.findings],
        "files": [file.path for file in workflow.files],
    }
