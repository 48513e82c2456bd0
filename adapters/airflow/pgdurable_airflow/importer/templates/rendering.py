"""Texts with Jinja in them to texts with `{name}`, and the binds that give those names their values.

Everything outside of Jinja stays as it is, byte for byte: what looks like one of our references there (`{ds}`,
`$params.x`) is put in through a bind whose value is that very text, and a value put in is never scanned again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from pgdurable_airflow.importer.templates.expressions import (
    CONTEXT_NAMES,
    Expression,
    Scope,
    UntranslatableError,
    quote,
    translate,
)

# The options of Airflow's own environment (create_template_env) that change what a text is.
_ENVIRONMENT: Final = Environment(extensions=["jinja2.ext.do"], autoescape=False)
_BRACED: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DOLLAR: Final = re.compile(r"\$(?=([A-Za-z_][A-Za-z0-9_]*)(?:\.(?:\*|[A-Za-z_])|\?))")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Translated texts, in the order given, and the binds they share."""

    texts: tuple[str, ...]
    bind: dict[str, str]
    used_params: frozenset[str]
    pulled: bool


def has_template(text: str) -> bool:
    """Say whether Jinja would do anything at all to a text."""
    return any(mark in text for mark in ("{{", "{%", "{#")) or text.endswith("\n") or "\r" in text


def render_texts(texts: Sequence[str], scope: Scope, references: frozenset[str] = frozenset()) -> Rendered:
    """Translate texts that share one set of binds. `references` are the step names `$name.col` could mean.

    Raises UntranslatableError, naming what is not understood.
    """
    parsed = [_parse(text, scope) for text in texts]
    literal = [piece for pieces in parsed for piece in pieces if isinstance(piece, str)]
    names = _Names("\0".join(literal), references | {"params", "item"})
    done = tuple("".join(names.write(piece) for piece in pieces) for pieces in parsed)
    expressions = [piece for pieces in parsed for piece in pieces if isinstance(piece, Expression)]
    used = frozenset(match for piece in expressions for match in re.findall(r"params ->> '((?:[^']|'')*)'", piece.sql))
    return Rendered(done, names.bind, used, any(piece.kind == "reference" for piece in expressions))


def _parse(text: str, scope: Scope) -> list[str | Expression]:
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise UntranslatableError(f"a template that Jinja refuses: {error.message}") from error
    pieces: list[str | Expression] = []
    for node in tree.body:
        if not isinstance(node, nodes.Output):
            raise UntranslatableError(f"{{% {type(node).__name__.lower()} %}}")
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                pieces.append(part.data)
                continue
            expression = translate(part, scope)
            if expression.kind == "moment" and not expression.plain:
                raise UntranslatableError("a computed date without a format")
            if expression.kind == "reference":
                before = "".join(piece if isinstance(piece, str) else "" for piece in pieces)
                if before.count("'") % 2:
                    raise UntranslatableError("the result of a task inside quotes")
            pieces.append(expression.sql if expression.kind == "constant" else expression)
    return pieces


class _Names:
    """Chooses bind names that do not occur in the text, and protects what occurs there."""

    def __init__(self, literal: str, references: frozenset[str]) -> None:
        self.bind: dict[str, str] = {}
        self._occupied = set(_BRACED.findall(literal))
        self._references = references
        for name in sorted(self._occupied & CONTEXT_NAMES):
            self.bind[name] = quote(f"{{{name}}}")

    def write(self, piece: str | Expression) -> str:
        if isinstance(piece, str):
            return _DOLLAR.sub(self._dollar, piece)
        if piece.kind == "reference":
            return piece.sql
        if piece.plain and piece.sql not in self._occupied:
            return f"{{{piece.sql}}}"
        return f"{{{self._named(piece.hint, piece.sql)}}}"

    def _dollar(self, match: re.Match[str]) -> str:
        if match[1] not in self._references:
            return match[0]
        return f"{{{self._named('dollar', quote('$'))}}}"

    def _named(self, hint: str, sql: str) -> str:
        number = 0
        while True:
            name = hint if number == 0 else f"{hint}_{number}"
            number += 1
            if self.bind.get(name) == sql:
                return name
            if name not in self._occupied and name not in CONTEXT_NAMES and name not in self.bind:
                self.bind[name] = sql
                return name
