"""A private PostgreSQL for people who have none yet."""

from pgdurable_core.embedded.binaries import EMBEDDED_VERSION, find_binaries, has_binaries
from pgdurable_core.embedded.home import Embedded, home_folder
from pgdurable_core.embedded.server import Running, Server, private_server

__all__ = [
    "EMBEDDED_VERSION",
    "Embedded",
    "Running",
    "Server",
    "find_binaries",
    "has_binaries",
    "home_folder",
    "private_server",
]
