"""Reading and reshaping SQL text: transaction brackets, psycopg's placeholders, columns, tables.

Rewrites touch as few characters as possible; sqlglot only answers questions and never writes the text.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pgdurable_airflow.importer.templates.expressions import quote

# It warns on stderr about statements it keeps as they are; what cannot be read is answered with None here.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_OURS: Final = re.compile(r"\$[A-Za-z_]\w*(?:\.(?:\*|\w+)|\?)")
_BRACED: Final = re.compile(r"\{[A-Za-z_]\w*\}")
_JINJA: Final = re.compile(r"\{\{.*?\}\}", re.S)
# Strings, quoted names, dollar-quoted bodies and comments: where a semicolon or a word means nothing.
_OPAQUE: Final = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$((?:[A-Za-z_]\w*)?)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.S
)
_BUILT_IN: Final = frozenset({"pg_catalog", "df"})
_PLACEHOLDER: Final = re.compile(r"%%|%\(([^)]*)\)([sbt])|%([sbt])|%")


class PlaceholderError(ValueError):
    """Placeholders and parameters do not match."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables a text reads, writes and truncates, and functions it calls by schema, as written.

    `is_whole` is False where a statement could not be read; what it names is missing then.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    truncates: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    is_whole: bool = True


def statements(sql: str) -> list[tuple[int, int]]:
    """Find the statements of a text: start and end of each, without its semicolon and the space around it."""
    blank = _blanked(sql)
    found: list[tuple[int, int]] = []
    start = 0
    for end in [match.start() for match in re.finditer(";", blank)] + [len(blank)]:
        body = blank[start:end]
        if body.strip():
            lead = len(body) - len(body.lstrip())
            found.append((start + lead, start + len(body.rstrip())))
        start = end + 1
    return found


def without_bracket(sql: str) -> str | None:
    """Take out one BEGIN at the start and one COMMIT at the end; None where there is no such pair."""
    blank = _blanked(sql)
    spans = statements(sql)
    if len(spans) < 3:
        return None
    first, last = (blank[start:end].lower() for start, end in (spans[0], spans[-1]))
    opens = re.fullmatch(r"(begin|start)(\s+(work|transaction))?", first) is not None and first != "start"
    closes = re.fullmatch(r"(commit|end)(\s+(work|transaction))?", last) is not None
    if not (opens and closes):
        return None
    inner_start = spans[1][0]
    head = sql[: spans[0][0]]
    # A newline before the COMMIT goes with it; a comment before the first statement stays.
    between = sql[spans[0][1] : inner_start].lstrip().removeprefix(";").lstrip()
    body = sql[inner_start : spans[-1][0]].rstrip()
    return head + between + body


def controls_transaction(sql: str) -> bool:
    """Say whether a top-level statement begins or ends a transaction."""
    blank = _blanked(sql)
    words = (
        "begin",
        "commit",
        "rollback",
        "end",
        "abort",
        "savepoint",
        "release",
        "start transaction",
        "prepare transaction",
    )
    return any(re.match(rf"({'|'.join(words)})\b", blank[start:end].lower()) for start, end in statements(sql))


def leading_role(sql: str) -> tuple[str, str] | None:
    """Split a leading `SET ROLE name;` off: the role and the rest."""
    spans = statements(sql)
    if len(spans) < 2:
        return None
    match = re.fullmatch(r"set\s+(?:session\s+)?role\s+(?:to\s+)?(\w+|\"[^\"]+\"|'[^']+')", sql[slice(*spans[0])], re.I)
    if match is None or match[1].lower() in ("none", "default"):
        return None
    rest = sql[: spans[0][0]] + sql[spans[0][1] :].lstrip().removeprefix(";").lstrip()
    if re.search(r"\b(re)?set\s+(session\s+|local\s+)?(role|session\s+authorization)\b", _blanked(rest), re.I):
        return None
    return match[1].strip("\"'"), rest


def starts_with_call(sql: str) -> bool:
    """Say whether a single statement calls a procedure or is a DO block."""
    spans = statements(sql)
    return len(spans) == 1 and re.match(r"(call|do)\b", sql[slice(*spans[0])], re.I) is not None


def no_transaction_word(sql: str) -> str | None:
    """Name the statement, if it is a single one that PostgreSQL runs outside a transaction block only.

    PostgreSQL 18: every caller of PreventInTransactionBlock in src/backend/tcop/utility.c and below.
    """
    spans = statements(sql)
    if len(spans) != 1:
        return None
    text = " ".join(_blanked(sql)[slice(*spans[0])].lower().split())
    match = re.match(
        r"vacuum\b|(?:create(?: unique)?|drop|re)\s?index\b.*\bconcurrently\b|reindex (?:\(.*\) )?(?:database|system)\b"
        r"|alter system\b|(?:create|drop) (?:database|tablespace)\b"
        r"|alter table .* detach partition .* concurrently\b",
        text,
    )
    if match is None:
        return None
    word = text.split("(")[0].split()[0].upper()
    if "concurrently" not in text:
        return word
    return f"{word} CONCURRENTLY" if word in ("REINDEX", "ALTER") else f"{word} INDEX CONCURRENTLY"


def joined(parts: Sequence[str]) -> str:
    """Join a list of statements to one text; each keeps its own characters."""
    closed = []
    for part in parts:
        body = part.strip("\n")
        spans = statements(body)
        if not spans:
            continue
        blank = _blanked(body).rstrip()
        ends_in_comment = len(body.rstrip()) > len(blank)
        closed.append(body if blank.endswith(";") else f"{body}\n" if ends_in_comment else body)
    return ";\n".join(closed) if not any(_blanked(part).rstrip().endswith(";") for part in closed) else _closed(closed)


def _closed(parts: Sequence[str]) -> str:
    return "\n".join(part if _blanked(part).rstrip().endswith(";") else f"{part};" for part in parts)


def put_in(sql: str, parameters: Mapping[str, str] | Sequence[str]) -> str:
    """Put SQL texts where psycopg's placeholders stand; `%%` becomes `%`. Raises PlaceholderError."""
    taken = 0
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        nonlocal taken
        if match[0] == "%%":
            return "%"
        if match[0] == "%":
            raise PlaceholderError("a single % stands in a text with parameters; psycopg refuses it (write %%)")
        if match[1] is not None:
            if not isinstance(parameters, Mapping) or match[1] not in parameters:
                raise PlaceholderError(f"%({match[1]})s has no parameter of that name")
            used.add(match[1])
            return parameters[match[1]]
        if isinstance(parameters, Mapping):
            raise PlaceholderError("%s stands in a text whose parameters have names")
        if taken >= len(parameters):
            raise PlaceholderError("there are more %s than parameters")
        taken += 1
        return parameters[taken - 1]

    done = _PLACEHOLDER.sub(value, sql)
    if not isinstance(parameters, Mapping) and taken != len(parameters):
        raise PlaceholderError(f"{len(parameters)} parameters for {taken} placeholders")
    return done


def literal(value: object) -> str:
    """Write a value as psycopg2 puts it into a text. Raises PlaceholderError for types without a literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value) if value >= 0 else f" {value}"
        case float():
            return repr(value) if value >= 0 else f" {value!r}"
        case str():
            return quote(value)
        case datetime():
            return f"{quote(value.isoformat())}::{'timestamptz' if value.tzinfo else 'timestamp'}"
        case date():
            return f"{quote(value.isoformat())}::date"
        case list():
            return f"ARRAY[{','.join(literal(item) for item in value)}]" if value else "'{}'"
        case tuple():
            return f"({', '.join(literal(item) for item in value)})"
        case _:
            raise PlaceholderError(f"a {type(value).__name__} has no SQL literal here")


def columns(sql: str) -> tuple[str, ...] | None:
    """Name the columns of the one query in a text, when each has a name of its own; None where that is not proven."""
    parsed = _parse(sql)
    if parsed is None or len(parsed) != 1:
        return None
    query = parsed[0]
    if not isinstance(query, exp.Select):
        return None
    names: list[str] = []
    for column in query.expressions:
        match column:
            case exp.Alias():
                identifier = column.args["alias"]
            case exp.Column() if isinstance(column.this, exp.Identifier):
                identifier = column.this
            case _:
                return None
        name = str(identifier.name) if identifier.quoted else str(identifier.name).lower()
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return None
        names.append(name)
    return tuple(names) if len(set(names)) == len(names) else None


def only_reads(sql: str) -> bool:
    """Say whether a text is one query that changes nothing by itself."""
    parsed = _parse(sql)
    return (
        parsed is not None
        and len(parsed) == 1
        and isinstance(parsed[0], exp.Query)
        and not parsed[0].find(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into)
    )


def tables(sql: str) -> Tables:
    """List the tables and functions a text names, as far as sqlglot can read it."""
    parsed = _parse(sql)
    if parsed is None:
        return Tables(is_whole=False)
    found = [_named(statement) for statement in parsed]
    return Tables(
        reads=_all(each.reads for each in found),
        writes=_all(each.writes for each in found),
        truncates=_all(each.truncates for each in found),
        calls=_all(each.calls for each in found),
        is_whole=all(each.is_whole for each in found),
    )


def _all(names: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*names)


def _named(statement: exp.Expr) -> Tables:
    ctes = {cte.alias for cte in statement.find_all(exp.CTE)}
    targets = [
        node.this if isinstance(node.this, exp.Table) else node.this.find(exp.Table) if node.this else None
        for node in statement.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Copy)
    ]
    targets += [into.this for into in statement.find_all(exp.Into)]
    written = {id(table) for table in targets if table is not None}
    emptied = {id(table) for node in statement.find_all(exp.TruncateTable) for table in node.expressions}
    reads: set[str] = set()
    writes: set[str] = set()
    truncates: set[str] = set()
    calls: set[str] = set()
    for table in statement.find_all(exp.Table):
        parts = table.parts
        name = ".".join(_spelt(part) for part in parts)
        if isinstance(table.this, exp.Func):
            if len(parts) > 1 and isinstance(table.this, exp.Anonymous) and parts[0].name not in _BUILT_IN:
                calls.add(".".join([*(_spelt(part) for part in parts[:-1]), table.this.name]))
        elif name and (len(parts) > 1 or table.name not in ctes):
            (writes if id(table) in written else truncates if id(table) in emptied else reads).add(name)
    for dot in statement.find_all(exp.Dot):
        is_call = isinstance(dot.expression, exp.Anonymous) and isinstance(dot.this, exp.Identifier)
        if is_call and dot.this.name not in _BUILT_IN:
            calls.add(f"{_spelt(dot.this)}.{dot.expression.name}")
    # What sqlglot keeps as it is, or does not look into: CALL, DO, and statements it does not know.
    opaque = statement.find(exp.Command) is not None
    return Tables(frozenset(reads), frozenset(writes), frozenset(truncates), frozenset(calls), is_whole=not opaque)


def _spelt(part: exp.Expr) -> str:
    return f'"{part.name}"' if part.args.get("quoted") else part.name


def _parse(sql: str) -> "list[exp.Expr] | None":
    text = _BRACED.sub("x", _OURS.sub("null", _JINJA.sub("x", sql)))
    try:
        return [statement for statement in sqlglot.parse(text, dialect="postgres") if statement is not None]
    except (SqlglotError, RecursionError):
        return None


def _blanked(sql: str) -> str:
    """Replace strings and comments by spaces, character for character."""
    return _OPAQUE.sub(lambda match: re.sub(r"[^\n]", " " if match[0].startswith(("--", "/*")) else "x", match[0]), sql)
