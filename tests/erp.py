"""An ERP that remembers what it was sent and when, so that senders can be compared."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Request:
    """One request as it came over the wire; `ended` is when it was answered, None until then."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    began: datetime
    ended: datetime | None = None


@dataclass
class Erp:
    """A server on a loopback port; what it was sent is filed under the path it was sent to."""

    port: int
    requests: list[Request] = field(default_factory=list)

    def url(self, sender: str) -> str:
        return f"http://127.0.0.1:{self.port}/{sender}"

    def received_from(self, sender: str) -> list[Request]:
        return [request for request in self.requests if request.path == f"/{sender}"]


class Accepting(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal of the tests."""


@contextmanager
def erp(answers: type[BaseHTTPRequestHandler] = Accepting, *, seconds: float = 0) -> Iterator[Erp]:
    """Serve until the block ends, with the answers of a handler's `do_POST`, each given after so many seconds."""
    remembered: list[Request] = []

    class Remembering(answers):  # type: ignore[misc, valid-type]
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            request = Request(self.command, self.path, dict(self.headers), body.decode(), datetime.now(UTC))
            remembered.append(request)
            time.sleep(seconds)
            self.rfile = io.BytesIO(body)
            # Who asked may be dead by now.
            with suppress(ConnectionError):
                super().do_POST()
            request.ended = datetime.now(UTC)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Remembering)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Erp(server.server_address[1], remembered)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
