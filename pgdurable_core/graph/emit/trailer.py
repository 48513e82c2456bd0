"""The last line of a written file: which graph it says, and whether a person has touched the text since.

`-- pgdurable import: graph 5d0e12aa, text 77b1c3f0. Without this line the file is yours alone and import leaves it be.`
`graph` begins the graph's hash, `text` the hash of everything above the line. Carriage returns do not count, so a
checkout with CRLF is no edit.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

FileState = Literal["generated", "edited", "foreign"]

_TRAILER: Final = re.compile(
    r"^-- pgdurable import: graph (?P<graph>[0-9a-f]{8}), text (?P<text>[0-9a-f]{8})\.[^\n]*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Trailer:
    """The two hashes of the last line, 8 hex digits each."""

    graph: str
    text: str

    def line(self) -> str:
        """Write the line, without its newline."""
        return (
            f"-- pgdurable import: graph {self.graph}, text {self.text}. "
            "Without this line the file is yours alone and import leaves it be."
        )


def text_hash(above: str) -> str:
    """Hash the text above the trailer: 8 hex digits of sha256 over UTF-8 without carriage returns."""
    return hashlib.sha256(above.replace("\r", "").encode("utf-8", "surrogatepass")).hexdigest()[:8]


def with_trailer(above: str, graph_hash: str) -> str:
    """Add the trailer to a text that ends with a newline."""
    return above + Trailer(graph_hash[:8], text_hash(above)).line() + "\n"


def read_trailer(text: str) -> Trailer | None:
    """Find the trailer of a file, the last if there are several; None when a person took it out."""
    match = _last_match(text.replace("\r", ""))
    return None if match is None else Trailer(match["graph"], match["text"])


def file_state(text: str) -> FileState:
    """Say whose a file is: `generated` as written, `edited` by a person since, or `foreign`, without a trailer.

    Only a `generated` file may be replaced without asking.
    """
    text = text.replace("\r", "")
    match = _last_match(text)
    if match is None:
        return "foreign"
    above, below = text[: match.start()], text[match.end() :]
    return "generated" if text_hash(above) == match["text"] and not below.strip() else "edited"


def was_edited(text: str) -> bool:
    """Say whether replacing this file could lose a person's work."""
    return file_state(text) != "generated"


def _last_match(text: str) -> re.Match[str] | None:
    matches = list(_TRAILER.finditer(text))
    return matches[-1] if matches else None
