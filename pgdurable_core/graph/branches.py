"""Which steps a branch can choose, as far as its SQL text alone says so."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# Reading SQL costs about a millisecond per kilobyte; a choice between constants is short.
MAX_LENGTH: Final = 4_000
_QUERY: Final = re.compile(r"[\s(]*(?:select|values|with)\b", re.IGNORECASE)
# `$params.mode`, `$item.col`, `$step.*`, `$step?`: ours, and no SQL; each stands where a value would.
_REFERENCE: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(?:\.(?:\*|[A-Za-z_][A-Za-z0-9_]*)|\?)")


@lru_cache(maxsize=4_096)
def constant_targets(sql: str) -> tuple[str, ...]:
    """List the keys that stand as constants where a branch query gives its answer, in the order of the text.

    Seen are literals, `case`, `coalesce`, arrays, `values`, `union` and what these are made of. What is computed, and
    text that cannot be read, adds nothing: an empty answer means "not known", never "chooses none".
    """
    if len(sql) > MAX_LENGTH or not _QUERY.match(sql) or "{" in sql:
        return ()
    import sqlglot  # takes a third of a second to import, and most graphs have no branch
    from sqlglot import errors

    try:
        statements = sqlglot.parse(_REFERENCE.sub("null", sql), dialect="postgres")
    except (errors.SqlglotError, RecursionError):
        return ()
    if len(statements) != 1 or statements[0] is None:
        return ()
    return tuple(dict.fromkeys(_answers(statements[0])))


def _answers(node: object) -> Iterator[str]:
    from sqlglot import exp

    match node:
        case exp.SetOperation():
            yield from _answers(node.left)
            yield from _answers(node.right)
        case exp.Select() if len(node.expressions) == 1:
            yield from _answers(node.expressions[0])
        case exp.Values() if all(len(row.expressions) == 1 for row in node.expressions):
            for row in node.expressions:
                yield from _answers(row.expressions[0])
        case exp.Alias() | exp.Paren() | exp.Subquery():
            yield from _answers(node.this)
        case exp.Cast() if node.to.is_type("text", "varchar") or isinstance(node.this, exp.Array):
            yield from _answers(node.this)
        case exp.Case():
            for when in node.args["ifs"]:
                yield from _answers(when.args["true"])
            yield from _answers(node.args.get("default"))
        case exp.Coalesce():
            for part in (node.this, *node.expressions):
                yield from _answers(part)
        case exp.Array() | exp.Explode() | exp.Unnest():
            for part in (node.this, *node.expressions):
                yield from _answers(part)
        case exp.Literal() if node.is_string:
            yield str(node.this)
