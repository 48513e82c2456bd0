"""Reads an emitted file as PostgreSQL and the engine's builders do, far enough to give the graph document back."""

import json
import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n\r]*)|(?P<word>[a-z_][a-z0-9_.]*)|(?P<number>\d+)|(?P<sign>=>|[()\[\],;])"
    r"|'(?P<text>(?:[^']|'')*)'"
)
# src/backend/parser/scan.l: dolqdelim, and dolqfailed, which ends before a character that could open another quote.
DELIMITER = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$")


def read_dollar_quote(text: str, start: int = 0) -> tuple[str, int]:
    """Read the quote at `start`: its content and where it ends; scan.l gives back the last `$` of a wrong delimiter."""
    opening = DELIMITER.match(text, start)
    assert opening is not None
    at = opening.end()
    while True:
        at = text.index("$", at)
        closing = DELIMITER.match(text, at)
        if closing is None:
            at += 1
        elif closing[0] == opening[0]:
            return text[opening.end() : at], closing.end()
        else:
            at = closing.end() - 1


def tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        if text[at] == "$":
            content, at = read_dollar_quote(text, at)
            yield "text", content
            continue
        match = TOKEN.match(text, at)
        assert match is not None, text[at : at + 40]
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "text":
            yield kind, match["text"].replace("''", "'")
        elif kind not in ("space", "comment"):
            yield kind, match[0]


def trimmed(text: str) -> str:
    text = text.removeprefix("\n")
    return text.removesuffix("\n")


def array(text: str) -> list[str]:
    inner = text.strip()[1:-1]
    elements = re.findall(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]*?))\s*(?:,|$)', inner, re.DOTALL) if inner else []
    if inner and elements and elements[-1] == ("", ""):
        elements.pop()
    return [re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) or bare for quoted, bare in elements]


class Reader:
    def __init__(self, text: str) -> None:
        self.left = list(tokens(text))[::-1]

    def take(self, *wanted: str) -> str:
        kind, value = self.left.pop()
        assert not wanted or value in wanted or kind in wanted, (wanted, kind, value)
        return value

    def workflow(self) -> dict[str, Any]:
        self.take("select")
        name, positional, named = self.call()
        assert name == "df.create_workflow"
        assert not self.left[:-1]
        self.take(";")
        (title,) = positional
        document = {"pgdurable_graph": 1, "name": title} | named
        for key in ("params", "defaults", "modules"):
            if key in document:
                document[key] = json.loads(document[key])
        for key in ("on_failure", "on_success"):
            if isinstance(document.get(key), str):
                document[key] = {"kind": "sql", "sql": trimmed(document[key])}
        if "tags" in document:
            document["tags"] = array(document["tags"])
        return document

    def call(self) -> tuple[str, list[Any], dict[str, Any]]:
        name, positional, named = self.take("word"), [], dict[str, Any]()
        self.take("(")
        while True:
            if self.left[-1][0] == "word" and self.left[-2][1] == "=>":
                key = self.take()
                self.take("=>")
                assert key not in named
                named[key] = self.value()
            else:
                assert not named, "a positional argument behind a named one"
                positional.append(self.value())
            if self.take(",", ")") == ")":
                return name, positional, named

    def value(self) -> Any:
        kind, value = self.left[-1]
        if kind == "text":
            return self.take()
        if kind == "number":
            return int(self.take())
        if value in ("true", "false"):
            return self.take() == "true"
        if value == "array":
            return self.steps()
        return self.built(*self.call())

    def steps(self) -> list[Any]:
        self.take("array")
        self.take("[")
        made = [self.value()]
        while self.take(",", "]") == ",":
            made.append(self.value())
        return made

    def built(self, name: str, positional: list[Any], named: dict[str, Any]) -> dict[str, Any]:
        kind = name.removeprefix("df.")
        if kind in ("check", "branch"):
            return {"kind": kind, "sql": trimmed(*positional)}
        if kind == "python":
            args = {"args": json.loads(positional[1])} if len(positional) > 1 else {}
            return {"kind": kind, "callable": positional[0]} | args | named
        if kind == "shell":
            env = {"env": json.loads(named.pop("env"))} if "env" in named else {}
            return {"kind": kind, "command": positional[0]} | env | named
        assert kind == "step"
        step = {"key": positional[0]} | named
        if isinstance(step.get("run"), str):
            step["run"] = {"kind": "sql", "sql": trimmed(step["run"])}
        if "after" in step:
            step["after"] = array(step["after"])
        if "bind" in step:
            step["bind"] = json.loads(step["bind"])
        return step


def read_workflow(text: str) -> dict[str, Any]:
    return Reader(text).workflow()
