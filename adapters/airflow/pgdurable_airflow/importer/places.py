"""Columns of findings: a line is known from Airflow's objects, the column is where the code on that line begins."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from pgdurable_core.importing.findings import Finding


def with_columns(findings: Iterable[Finding], root: Path) -> tuple[Finding, ...]:
    """Add the columns of findings whose files are shown from the dags folder `root` on."""
    return tuple(_placed(finding, root) for finding in findings)


def _placed(finding: Finding, root: Path) -> Finding:
    if finding.file is None or finding.line is None or finding.column is not None:
        return finding
    lines = _lines(root.parent / finding.file)
    if not 1 <= finding.line <= len(lines):
        return finding
    line = lines[finding.line - 1]
    return replace(finding, column=len(line) - len(line.lstrip()) + 1) if line.strip() else finding


@lru_cache(maxsize=256)
def _lines(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text(encoding="utf-8", errors="replace").split("\n"))
    except OSError:
        return ()
