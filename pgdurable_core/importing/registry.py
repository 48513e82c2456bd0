"""Finding importers: the core names none, the entry-point group `pgdurable.importers` does."""

from importlib.metadata import EntryPoint, entry_points

from pgdurable_core.errors import NotFoundError
from pgdurable_core.importing.findings import FindingCode
from pgdurable_core.importing.protocol import Importer

GROUP = "pgdurable.importers"


def importer_names() -> tuple[str, ...]:
    """List the importers that are installed."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load_importer(name: str) -> Importer:
    """Load an importer by name. Raises NotFoundError, naming those there are."""
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _load(point)
    known = ", ".join(importer_names()) or "none"
    raise NotFoundError(f"no importer is called {name!r}", hint=f"Installed importers: {known}.")


def find_code(code: str) -> FindingCode:
    """Look a finding code up in every installed importer. Raises NotFoundError."""
    for name in importer_names():
        found = load_importer(name).codes.get(code.upper())
        if found is not None:
            return found
    raise NotFoundError(
        f"no installed importer raises {code!r}", hint="a code looks like AF114; pgdurable finding lists them all"
    )


def _load(point: EntryPoint) -> Importer:
    importer: Importer = point.load()()
    return importer
