"""What stands beside every figure: the machine, the versions, the settings that decide."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pgdurable_core.engine import Connection

SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "autovacuum",
    "jit",
)


def surroundings(connection: Connection, place: str) -> Mapping[str, str]:
    """Describe this machine and the server of `connection`, for people and for the JSON file."""
    rows = connection.execute(
        "select name, setting || coalesce(unit, '') from pg_settings where name = any(%s) order by name",
        [list(SETTINGS)],
    ).fetchall()
    server = connection.execute("select current_setting('server_version')").fetchone()
    assert server is not None
    return {
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()} {platform.release()}",
        "Load": " ".join(f"{load:.1f}" for load in os.getloadavg()) + " before the run",
        "Versions": f"PostgreSQL {server[0]}, pgdurable {version('pgdurable')}, Python {platform.python_version()}",
        "Server": place,
        "Settings": ", ".join(f"{name} {setting}" for name, setting in rows),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB"
    except (ValueError, OSError, AttributeError):
        return "memory unknown"
