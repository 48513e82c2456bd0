"""An ERP that remembers what it was sent, so that two senders can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Erp:
    """A server on a loopback port; what it was sent is filed under the path it was sent to."""

    port: int
    requests: list[Request] = field(default_factory=list)

    def url(self, sender: str) -> str:
        return f"http://127.0.0.1:{self.port}/{sender}"

    def received_from(self, sender: str) -> list[Request]:
        return [request for request in self.requests if request.path == f"/{sender}"]


@contextmanager
def erp() -> Iterator[Erp]:
    """Serve until the block ends."""
    remembered: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            remembered.append(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing on the terminal of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Erp(server.server_address[1], remembered)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
