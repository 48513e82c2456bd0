"""Hypothesis strategies: graphs that pass every check, with texts chosen to be nasty."""

from datetime import timedelta

from hypothesis import strategies as st

from pgdurable_core.graph.duration import format_duration
from pgdurable_core.graph.model import (
    RUNTIMES,
    STATEMENT_CLASSES,
    TRIGGER_RULES,
    Branch,
    Check,
    Defaults,
    Empty,
    Graph,
    Group,
    JsonValue,
    Python,
    Run,
    Shell,
    Sql,
    Step,
)

STORABLE = st.characters(codec="utf-8", exclude_characters="\0")
NASTY = st.sampled_from(
    ["$$", "$sql$", "$sql1$", "$sh$", "$", "$sql", "'", "''", '"', "\\", "\n", "\r\n", "\r", "{ds}"]
)
TEXTS = st.lists(st.one_of(NASTY, st.text(STORABLE, max_size=12)), max_size=6).map("".join)
FULL_TEXTS = TEXTS.filter(lambda text: text.strip() != "")
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,11}", fullmatch=True)
KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True), st.sampled_from(["null", "NULL", "stage.orders", "-", "."])
)
DURATIONS = st.timedeltas(timedelta(), timedelta(days=400)).map(format_duration)
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(TEXTS.filter(lambda key: key not in ("xcom", "item")), JSON, max_size=3)
RUNS: st.SearchStrategy[Run] = st.one_of(
    st.builds(Sql, FULL_TEXTS),
    st.builds(Check, FULL_TEXTS),
    st.builds(Branch, st.just("select key from choices")),
    st.builds(Python, st.just("pkg.mod:function"), ARGS, st.sampled_from(RUNTIMES)),
    st.builds(Shell, FULL_TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2), st.booleans(), st.none() | FULL_TEXTS),
    st.just(Empty()),
)


@st.composite
def steps(draw: st.DrawFn, key: str, earlier: list[str]) -> Step:
    after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=4)) if earlier else []
    each = draw(st.none() | st.sampled_from(earlier)) if earlier else None
    return Step(
        key=key,
        run=draw(RUNS),
        after=tuple(after),
        rule=draw(st.sampled_from(TRIGGER_RULES)),
        each=each,
        bind=draw(st.dictionaries(NAMES, FULL_TEXTS, max_size=2)),
        retries=draw(st.none() | st.integers(0, 5)),
        retry_delay=draw(st.none() | DURATIONS),
        timeout=draw(st.none() | DURATIONS),
        pool=draw(st.none() | NAMES),
        run_as=draw(st.none() | NAMES),
        connection=draw(st.none() | NAMES),
        statement_class=draw(st.none() | st.sampled_from(STATEMENT_CLASSES)),
        source=draw(st.none() | FULL_TEXTS),
        doc=draw(st.none() | FULL_TEXTS),
    )


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    keys = draw(st.lists(KEYS, unique=True, min_size=1, max_size=8))
    made = [draw(steps(key, keys[:index])) for index, key in enumerate(keys)]
    return Graph(
        name=draw(KEYS),
        steps=tuple(draw(st.permutations(made))),
        schedule=draw(st.sampled_from([None, "@daily", "0 6 * * *", "90 min"])),
        timezone=draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        start_date=draw(st.sampled_from([None, "2026-01-01 00:00 Europe/Berlin"])),
        data_intervals=draw(st.booleans()),
        catchup=draw(st.booleans()),
        max_active_runs=draw(st.none() | st.integers(1, 9)),
        params=draw(st.dictionaries(NAMES, st.dictionaries(st.just("default"), JSON, max_size=1), max_size=2)),
        defaults=draw(st.builds(Defaults, retries=st.none() | st.integers(0, 5), retry_delay=st.none() | DURATIONS)),
        modules=draw(st.dictionaries(NAMES, st.just("sha256:" + "0a" * 32), max_size=2)),
        on_failure=draw(st.none() | RUNS),
        owner=draw(st.none() | FULL_TEXTS),
        tags=tuple(draw(st.lists(FULL_TEXTS, max_size=3))),
        groups=tuple(Group(key, draw(st.none() | TEXTS)) for key in draw(st.lists(KEYS, unique=True, max_size=2))),
        doc=draw(st.none() | FULL_TEXTS),
    )
