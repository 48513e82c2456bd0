"""`pgdurable report`: show a saved report again."""

from __future__ import annotations

from pathlib import Path

import click

from pgdurable_core.cli.invocation import current, report_options
from pgdurable_core.cli.target import short_path
from pgdurable_core.errors import UsageError
from pgdurable_core.importing import load_report, render_json, render_markdown, render_terminal


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@report_options
def report(file: Path) -> None:
    """Show a report that an import saved as report.json.

    As text it is what the import printed; as Markdown, report.md. Nothing is read anew: no DAG, no database.

    \b
    Examples:
      pgdurable report workflows/report.json
      pgdurable report workflows/report.json --format markdown > report.md
    """
    invocation = current()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{short_path(file)} cannot be read: {error}") from error
    found = load_report(text, short_path(file))
    match invocation.format:
        case "text":
            render_terminal(invocation.out, found)
        case "markdown":
            invocation.put_text(render_markdown(found))
        case "json":
            invocation.put_text(render_json(found))
