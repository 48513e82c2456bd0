"""Text, arrays, JSON and dollar quotes as PostgreSQL reads them back, byte for byte.

Written for `standard_conforming_strings = on`, the default since PostgreSQL 9.1 and the only value from 19 on.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Final

from pgdurable_core.graph.model import JsonValue

_BARE_ELEMENT: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


def quote_text(text: str) -> str:
    """Write a string constant: `'the day''s totals'`."""
    return "'" + text.replace("'", "''") + "'"


def array_element(text: str) -> str:
    """Write one element of an array constant, quoted only where it must be (PostgreSQL manual, 8.15.6)."""
    if _BARE_ELEMENT.fullmatch(text) and text.lower() != "null":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array_text(items: Sequence[str], *, indent: int, width: int) -> str:
    """Write `'{a,b}'`, broken between elements where a line would end behind `width`.

    `indent` is the column of the opening quote; blanks and newlines between elements mean nothing to PostgreSQL.
    """
    lines = [""]
    for index, item in enumerate(items):
        element = array_element(item).replace("'", "''") + ("," if index < len(items) - 1 else "")
        if lines[-1] and indent + 2 + len(lines[-1]) + len(element) > width - 4:
            lines.append("")
        lines[-1] += element
    return "'{" + ("\n" + " " * (indent + 2)).join(lines) + "}'"


def json_text(value: JsonValue, *, indent: int, width: int) -> str:
    """Write a JSON constant in one line when it fits, else one entry a line, as deep as needed.

    `indent` is the column of the opening quote. Keys stay in their order.
    """
    return "'" + _json_lines(value, indent + 1, width - 4) + "'"


def _json_lines(value: JsonValue, column: int, width: int) -> str:
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("'", "''")
    if column + len(flat) <= width:
        return flat
    if isinstance(value, Mapping) and value:
        parts = []
        for key, item in value.items():
            name = json.dumps(key, ensure_ascii=False).replace("'", "''") + ": "
            parts.append(name + _json_lines(item, column + 1 + len(name), width))
        return "{" + (",\n" + " " * (column + 1)).join(parts) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        parts = [_json_lines(item, column + 1, width) for item in value]
        return "[" + (",\n" + " " * (column + 1)).join(parts) + "]"
    return flat


def dollar_quote(text: str, *tags: str) -> str:
    """Quote `text` with the first of `tags` (`''` for `$$`) that the text cannot end early, else with a numbered one.

    What stands between the quotes is exactly `text`; the last of `tags` is the one that is numbered.
    """
    numbered = (f"{tags[-1] or 'q'}{number}" for number in count(1))
    for tag in chain(tags, numbered):
        quote = f"${tag}$"
        if (text + quote).index(quote) == len(text):
            return quote + text + quote
    raise AssertionError("a finite text cannot hold every tag")
