"""Getting the engine into a database, checking it there, and taking it out."""

from pgdurable_core.schema.catalog import Catalog, load_catalog
from pgdurable_core.schema.inspect import Verification, dependants, uninstall, verify
from pgdurable_core.schema.installer import Identity, Installed, install, package_version
from pgdurable_core.schema.script import render_sql
from pgdurable_core.schema.state import Standing, look, require_ours

__all__ = [
    "Catalog",
    "Identity",
    "Installed",
    "Standing",
    "Verification",
    "dependants",
    "install",
    "load_catalog",
    "look",
    "package_version",
    "render_sql",
    "require_ours",
    "uninstall",
    "verify",
]
