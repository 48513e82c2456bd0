"""The SQL file: one `select df.create_workflow(...)` a person would be glad to own.

Options first, long SQL last and flush left; steps in topological order, ties in source order; nothing that equals a
default; no line of ours over 120; ASCII but for the user's own text. What `df.step` reads back is byte-identical to
the graph's text: it and the builders of SQL drop exactly one newline behind the opening quote and one before the
closing one, and `df.shell` drops none.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pgdurable_core.graph.analysis import topological_order
from pgdurable_core.graph.document import graph_hash, graph_to_document, normalise
from pgdurable_core.graph.emit.literals import array_text, dollar_quote, json_text, quote_text
from pgdurable_core.graph.emit.picture import draw
from pgdurable_core.graph.emit.trailer import with_trailer
from pgdurable_core.graph.model import Branch, Check, Empty, Graph, JsonValue, Python, Run, Shell, Sql, Step

WIDTH: Final = 120
# SQL up to here reads well between other words; what is longer gets lines of its own.
ONE_LINER: Final = 80


@dataclass(frozen=True, slots=True)
class Notes:
    """What the caller wants said in comments; lines without their dashes, broken here where they are too long.

    `header` opens the file (without it: the name and the first line of `doc`), `footer` stands under the picture,
    `steps` holds lines by step key.
    """

    header: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    picture: bool = True


def emit_sql(graph: Graph, notes: Notes | None = None) -> str:
    """Write the file, with its trailer; write it out as UTF-8 with newlines untranslated.

    The graph must have passed `check.find_problems`. Raises DefinitionError for a cycle. The same graph and notes give
    the same bytes.
    """
    graph, notes = normalise(graph), notes or Notes()
    body = "\n".join([*_header(graph, notes), "", *_call(graph, notes)]) + "\n"
    return with_trailer(body, graph_hash(graph))


def _header(graph: Graph, notes: Notes) -> list[str]:
    lines = _comments(notes.header or (_title(graph),), "")
    picture = draw(graph, WIDTH - 5) if notes.picture else ()
    if picture:
        lines += ["--", *(f"--   {line}".rstrip() for line in picture)]
    if notes.footer:
        lines += ["--", *_comments(notes.footer, "")]
    return lines


def _title(graph: Graph) -> str:
    doc = (graph.doc or "").strip().partition("\n")[0]
    return f"{graph.name}: {doc}" if doc else graph.name


def _call(graph: Graph, notes: Notes) -> list[str]:
    lines = [f"select df.create_workflow({quote_text(graph.name)},"]
    tall = _tall_options(graph)
    width = max((len(name) for name, _ in tall), default=0)
    for name, value in tall:
        indent = 2 + width + len(" => ")
        lines.append(f"  {name:<{width}} => {_value(value, indent)},")
    lines += _fill([f"{name} => {_value(value, 2 + len(name) + 4)}" for name, value in _short_options(graph)])
    lines.append("  steps => array[")
    lines += _steps(graph, notes)
    lines.append("]);")
    return lines


_Value = str | bool | int | Run | tuple[str, ...] | Mapping[str, JsonValue]


def _tall_options(graph: Graph) -> list[tuple[str, _Value]]:
    document = graph_to_document(graph)
    plain = ("schedule", "timezone", "start_date", "end_date")
    flags = ("data_intervals", "catchup", "max_active_runs", "max_active_tasks")
    options: list[tuple[str, _Value]] = []
    for name in (*plain, *flags, "params", "defaults", "modules"):
        value = document.get(name)
        if isinstance(value, str | bool | int | Mapping):
            options.append((name, value))
    for name, run in (("on_failure", graph.on_failure), ("on_success", graph.on_success)):
        if run is not None:
            options.append((name, run))
    return options


def _short_options(graph: Graph) -> list[tuple[str, _Value]]:
    options: list[tuple[str, _Value | None]] = [
        ("owner", graph.owner),
        ("tags", graph.tags or None),
        ("doc", graph.doc),
    ]
    return [(name, value) for name, value in options if value is not None]


def _value(value: _Value, indent: int) -> str:
    match value:
        case str():
            return quote_text(value)
        case bool() | int():
            return str(value).lower()
        case tuple():
            return array_text(value, indent=indent, width=WIDTH)
        case Mapping():
            return json_text(value, indent=indent, width=WIDTH)
        case _:
            return _builder(value, indent)


def _steps(graph: Graph, notes: Notes) -> list[str]:
    order = topological_order(graph)
    lines: list[str] = []
    begun: set[str] = set()
    was_tall = True
    for index, key in enumerate(order):
        step = graph.by_key[key]
        group = graph.group_of(step)
        if group is not None and group.key not in begun:
            begun.add(group.key)
            title = f"Group {group.key}: {group.doc}" if group.doc else f"Group {group.key}"
            lines += ["", *_comments((title,), "  ")]
            was_tall = True
        said = _comments(notes.steps.get(key, ()), "  ")
        written = _step(step)
        is_tall = bool(said) or len(written) > 1
        if was_tall or is_tall:
            lines.append("")
        lines += said
        lines += [*written[:-1], written[-1] + ("," if index < len(order) - 1 else "")]
        was_tall = is_tall
    return lines


def _step(step: Step) -> list[str]:
    """Write `  df.step(...)` without the comma behind it, as lines; the user's own newlines are inside of them.

    Four pieces: what the engine acts on, where it comes from, `bind`, and `run`. Everything stands in one line when it
    fits; else lines are filled piece by piece, a one-line `run` has its own, and the quote that opens a block of SQL
    never stands alone.
    """
    pieces = _option_pieces(step)
    run = None if isinstance(step.run, Empty) else _run_argument(step.run)
    if run is None:
        return _fill(pieces, first=True, last=")")
    opener, _, block = run.partition("\n")
    if not block or not opener.endswith("$"):
        flat = _fill([*pieces, run], first=True, last=")")
        if len(flat) == 1 and not block:
            return flat
        return [*_fill(pieces, first=True, last=","), f"    {run})"]
    lines = _fill([*pieces, opener], first=True, last="")
    if lines[-1] == f"    {opener}" and len(pieces) > 1 and _fits("    " + pieces[-1] + ", " + opener):
        lines = [*_fill(pieces[:-1], first=True, last=","), f"    {pieces[-1]}, {opener}"]
    lines[-1] = lines[-1].removesuffix(opener) + run + ")"
    return lines


def _option_pieces(step: Step) -> list[str]:
    acted = [quote_text(step.key)]
    if step.after:
        column = len(f"  df.step({acted[0]}, after => ")
        acted.append("after => " + array_text(step.after, indent=column if column < 60 else 13, width=WIDTH))
    for name, value in (
        ("each", step.each),
        ("rule", None if step.rule == "all_success" else step.rule),
        ("retries", step.retries),
        ("retry_delay", step.retry_delay),
        ("timeout", step.timeout),
        ("pool", step.pool),
        ("run_as", step.run_as),
        ("connection", step.connection),
        ("class", step.statement_class),
        ("result_name", step.result_name),
    ):
        if value is not None:
            acted.append(f"{name} => {value if isinstance(value, int) else quote_text(value)}")
    shown = [f"{name} => {quote_text(text)}" for name, text in (("source", step.source), ("doc", step.doc)) if text]
    pieces = _joined(acted, "  df.step(") + _joined(shown, "    ")
    if step.bind:
        pieces.append("bind => " + json_text(dict(step.bind), indent=4 + len("bind => "), width=WIDTH))
    return pieces


def _joined(options: list[str], before: str) -> list[str]:
    """Make one piece of options that fit in a line, and of others as few as they need."""
    pieces: list[str] = []
    for option in options:
        start = before if len(pieces) <= 1 else "    "
        if pieces and _fits(f"{start}{pieces[-1]}, {option},"):
            pieces[-1] += f", {option}"
        else:
            pieces.append(option)
    return pieces


def _fill(pieces: list[str], *, first: bool = False, last: str = ",") -> list[str]:
    """Put pieces into lines of at most 120, a comma behind each but the last, which gets `last`.

    What has lines of its own begins one, so that its columns hold.
    `first` begins a step; else the pieces are options of the workflow.
    """
    lines: list[str] = []
    for index, piece in enumerate(pieces):
        ending = "," if index < len(pieces) - 1 else last
        if lines and "\n" not in piece and _fits(f"{lines[-1]} {piece}{ending or '  '}"):
            lines[-1] += f" {piece}{ending}"
        elif first and not lines:
            lines.append(f"  df.step({piece}{ending}")
        else:
            lines.append(f"{'    ' if first else '  '}{piece}{ending}")
    return lines


def _fits(text: str) -> bool:
    """Say whether every line fits, with room for a comma behind the step."""
    return all(len(line) < WIDTH for line in text.split("\n"))


def _run_argument(run: Run) -> str:
    return "run => " + _builder(run, len("    run => "))


def _builder(run: Run, indent: int) -> str:
    match run:
        case Sql():
            return _sql(run.sql, indent + len("),"))
        case Check() | Branch():
            return f"df.{run.kind}({_sql(run.sql, indent + len('df.check()),'))})"
        case Python():
            arguments = [quote_text(run.callable)]
            if run.args:
                column = indent + len(f"df.python({arguments[0]}, ")
                flat = json_text(dict(run.args), indent=column, width=WIDTH)
                if "\n" in flat and column > 40:
                    column = indent + len("df.python(")
                    flat = "\n" + " " * column + json_text(dict(run.args), indent=column, width=WIDTH)
                arguments.append(flat)
            if run.runtime != "python":
                arguments.append(f"runtime => {quote_text(run.runtime)}")
            return "df.python(" + ", ".join(arguments).replace(", \n", ",\n", 1) + ")"
        case Shell():
            return _shell(run, indent)
        case Empty():
            return "null"


def _sql(text: str, used: int) -> str:
    """Quote SQL in one line where it fits, else as a block, flush left between its quotes."""
    if "\n" not in text and len(text) <= ONE_LINER and used + len(text) + 4 <= WIDTH:
        return dollar_quote(text, "", "sql")
    return dollar_quote(f"\n{text}\n", "sql")


def _shell(run: Shell, indent: int) -> str:
    if "\n" in run.command or "'" in run.command:
        command = dollar_quote(run.command, *(("sh",) if "\n" in run.command else ("", "sh")))
    else:
        command = quote_text(run.command)
    arguments = [command]
    if run.env:
        column = indent + len("df.shell(env => ")
        arguments.append("env => " + json_text(dict(run.env), indent=column, width=WIDTH))
    if run.append_env:
        arguments.append("append_env => true")
    if run.cwd is not None:
        arguments.append(f"cwd => {quote_text(run.cwd)}")
    flat = f"df.shell({', '.join(arguments)})"
    if len(arguments) == 1 or (indent + len(flat) + 2 <= WIDTH and "\n" not in flat):
        return flat
    return f"df.shell({arguments[0]},\n{' ' * (indent + len('df.shell('))}{', '.join(arguments[1:])})"


def _comments(lines: tuple[str, ...], indent: str) -> list[str]:
    """Write comment lines; whatever PostgreSQL or an editor takes for a line end ends one, so none can slip out."""
    written: list[str] = []
    for line in lines:
        for part in line.splitlines() or [""]:
            wrapped = [part] if len(part) + len(indent) + 3 <= WIDTH else _wrap(part, WIDTH - len(indent) - 3)
            written += [f"{indent}-- {text}".rstrip() for text in wrapped]
    return written


def _wrap(text: str, width: int) -> list[str]:
    hanging = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
