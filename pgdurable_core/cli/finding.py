"""`pgdurable finding`: what a code in a report means."""

from __future__ import annotations

import click

from pgdurable_core.cli.invocation import common_options, current
from pgdurable_core.importing import find_code, importer_names, load_importer


@click.command()
@click.argument("code", required=False)
@common_options
def finding(code: str | None) -> None:
    """Explain a finding code of a report, or list them all.

    \b
    Examples:
      pgdurable finding AF131
      pgdurable finding
    """
    invocation = current()
    if code is None:
        entries = [entry for name in importer_names() for entry in load_importer(name).codes.values()]
        if invocation.is_json:
            invocation.put_json(entries)
            return
        for entry in sorted(entries, key=lambda entry: entry.code):
            invocation.put(f"{entry.code:<8}{entry.weight:<9}{entry.title}")
        return
    found = find_code(code)
    if invocation.is_json:
        invocation.put_json(found)
        return
    invocation.put(f"{found.code}  {found.title}")
    invocation.put(f"weight: {found.weight}")
    invocation.put()
    invocation.put(found.text)
