"""What a step prints, on its way to `df.log`: split into lines, masked, capped, sent while the step runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from pgdurable_core.worker.secrets import Masker

LINE_LIMIT = 8000
ATTEMPT_LIMIT = 10_000
SEND_EVERY = 0.25
SEND_LINES = 500

SendLines = Callable[[str, list[str]], None]


def storable(text: str) -> str:
    """Replace what PostgreSQL's text cannot hold: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class LineSplitter:
    """Turns bytes as they arrive into text lines; what is no UTF-8 or no PostgreSQL text is replaced."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes; a line over 8,000 bytes is cut there and goes on as another."""
        *complete, rest = (self._rest + data).split(b"\n")
        while len(rest) > LINE_LIMIT:
            complete.append(rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        self._rest = rest
        return [piece for line in complete for piece in self._pieces(line)]

    def finish(self) -> list[str]:
        """Return the last line when it had no line end."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest) if rest else []

    @staticmethod
    def _pieces(line: bytes) -> list[str]:
        text = line.removesuffix(b"\r").decode("utf-8", "replace").replace("\0", "\ufffd")
        return [text[start : start + LINE_LIMIT] for start in range(0, len(text), LINE_LIMIT)] or [""]


class StepLog:
    """Collects the lines of one attempt and sends them every quarter of a second, in the order of arrival.

    After 10,000 lines one last line says that the rest is dropped. `send` may raise: the lines are then kept, and the
    next flush tries again; what could not be sent at the end is lost, never the step's outcome.
    """

    def __init__(self, send: SendLines, masker: Masker) -> None:
        self._send = send
        self._masker = masker
        self._waiting: list[tuple[str, list[str]]] = []
        self._count = 0
        self._sent_at = time.monotonic()

    def add(self, stream: str, lines: list[str]) -> None:
        """Take lines of `stdout`, `stderr`, `notice` or `engine`."""
        room = ATTEMPT_LIMIT - self._count
        if not lines or room < 0:
            return
        masked = [self._masker.mask(line) for line in lines[:room]]
        self._count += len(masked)
        if len(lines) > room:
            self._count += 1
            self._append(stream, masked)
            self._append("engine", [f"log limit of {ATTEMPT_LIMIT} lines reached; further lines are dropped"])
        else:
            self._append(stream, masked)

    def _append(self, stream: str, lines: list[str]) -> None:
        if not lines:
            return
        if self._waiting and self._waiting[-1][0] == stream:
            self._waiting[-1][1].extend(lines)
        else:
            self._waiting.append((stream, list(lines)))

    def flush_when_due(self) -> None:
        """Send what waits when it is old or many."""
        if self._waiting and (
            time.monotonic() - self._sent_at >= SEND_EVERY
            or sum(len(lines) for _, lines in self._waiting) >= SEND_LINES
        ):
            self.flush()

    def flush(self) -> None:
        """Send everything that waits."""
        self._sent_at = time.monotonic()
        while self._waiting:
            self._send(*self._waiting[0])
            del self._waiting[0]
