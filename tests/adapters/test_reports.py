"""Reports: one model, three renderings that say the same, numbers that add up, and gates for CI."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace

import jsonschema
import pytest
from airflow_oracle import AS_OF, DAGS
from hypothesis import given, settings
from hypothesis import strategies as st
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.codes import CODES
from pgdurable_airflow.importer.sqltext import Tables, tables
from rich.console import Console
from test_bundled_examples import folders

from pgdurable_core.errors import UsageError
from pgdurable_core.graph.emit.sql import Notes
from pgdurable_core.graph.model import Graph, Sql, Step
from pgdurable_core.importing import (
    Finding,
    Gates,
    ImportedTask,
    ImportedWorkflow,
    ReadFacts,
    ReadFailure,
    ReadOptions,
    ReadResult,
    Report,
    load_report,
    make_report,
    render_json,
    render_markdown,
    render_terminal,
    report_files,
    report_schema,
)
from pgdurable_core.importing.findings import FIDELITIES, FIDELITY_OF, HOMES, Fidelity, Home, Weight, fidelity
from pgdurable_core.importing.protocol import Needs, Proof, ScheduleFacts
from pgdurable_core.importing.report.gates import FailOn
from pgdurable_core.importing.report.model import totals_of

SCHEMA = jsonschema.Draft202012Validator(report_schema())


def terminal(report: Report) -> str:
    stream = io.StringIO()
    render_terminal(Console(file=stream, width=150, force_terminal=False), report)
    return stream.getvalue()


def finding(weight: Weight, task: str | None = "a", code: str = "AF020") -> Finding:
    return Finding(
        code, weight, f"a {weight}", f"There is a {weight}.", "It stays.", "Mend it.", "w", task, "dags/x.py", 3, 5
    )


def workflow(
    *tasks: tuple[str, Home], findings: tuple[Finding, ...] = (), name: str = "w", sql: str = "select 1"
) -> ImportedWorkflow:
    return ImportedWorkflow(
        name=name,
        graph=Graph(name=name, steps=tuple(Step(key, Sql(sql)) for key, _ in tasks)),
        notes=Notes(),
        tasks=tuple(
            ImportedTask(key, "sql", home, fidelity(f for f in findings if f.task == key), (), "always", "Op", "x")
            for key, home in tasks
        ),
        findings=findings,
        files=(),
        source="dags/x.py",
        source_hash="4be1c07d",
        schedule=ScheduleFacts("no schedule", "Mon 06:00", 3),
    )  # fmt: skip


def report(*workflows: ImportedWorkflow, failures: tuple[ReadFailure, ...] = ()) -> Report:
    facts = ReadFacts("Airflow 3.3.2", "live with Airflow 3.3.2", ("no airflow.cfg found",), files=2, seconds=1.5)
    return make_report(ReadResult(workflows, failures, facts))


FAILURE = ReadFailure(
    "dags/y.py", Finding("AF001", "blocked", "does not load", "NameError: x", file="dags/y.py", line=7)
)
MIXED = workflow(
    ("a", "native"), ("b", "worker"), ("c", "operator"), ("d", "native"),
    findings=(finding("decide", "b"), finding("blocked", "c"), finding("changed", "d"), finding("note", None)),
)  # fmt: skip


@pytest.fixture(scope="module")
def read(needs_airflow: None) -> tuple[ReadResult, ...]:
    """Every DAG that Airflow ships, and those of these tests."""
    return tuple(AirflowImporter().read([folder], ReadOptions(as_of=AS_OF)) for folder in [*folders(), DAGS])


def check(found: Report, tasks: int) -> None:
    """What holds for every report, whatever is in it."""
    counted = found.totals
    assert counted.tasks == tasks == sum(len(one.tasks) for one in found.workflows)
    assert sum(counted.homes.values()) == sum(counted.fidelities.values()) == sum(counted.cells.values()) == tasks
    assert counted.with_home <= tasks - counted.fidelities["blocked"]
    parts = [totals_of(one) for one in found.workflows]
    assert sum(part.with_home for part in parts) == counted.with_home
    for one in found.workflows:
        for task in one.tasks:
            assert task.fidelity == fidelity(one.findings_of(task.key))
    text = render_json(found)
    SCHEMA.validate(json.loads(text))
    again = load_report(text)
    assert render_json(again) == text
    assert render_markdown(again) == render_markdown(found)
    assert rows_of(render_markdown(found)) == [task.key for one in found.workflows for task in one.tasks]


def rows_of(markdown: str) -> list[str]:
    """List the tasks that have a row."""
    rows = re.findall(r"(?m)^\| `(.+?)(?:\[\])?` \| (?:native|worker|operator|airflow) \|", markdown)
    return [row.replace("\\|", "|") for row in rows]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_totals_add_up_to_the_tasks_of_any_dags_that_were_read(
    read: tuple[ReadResult, ...], data: st.DataObject
) -> None:
    result = data.draw(st.sampled_from(read))
    keep = data.draw(st.lists(st.booleans(), min_size=len(result.imports), max_size=len(result.imports)))
    kept = tuple(one for one, is_kept in zip(result.imports, keep, strict=True) if is_kept)
    check(make_report(replace(result, imports=kept)), sum(len(one.graph.steps) for one in kept))


def test_totals_add_up_over_everything_that_was_read(read: tuple[ReadResult, ...]) -> None:
    for result in read:
        check(make_report(result), sum(len(one.graph.steps) for one in result.imports))


def test_every_finding_has_a_listed_code_and_a_place_with_line_and_column(read: tuple[ReadResult, ...]) -> None:
    found = [one for result in read for each in result.imports for one in each.findings]
    assert {one.code for one in found} <= set(CODES)
    placed = [one for one in found if one.line is not None]
    assert len(placed) > 100
    assert [one for one in placed if one.column is None] == []
    assert all(re.fullmatch(r".+:\d+:\d+", one.place) for one in placed)


keys = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
findings = st.builds(
    Finding, code=st.sampled_from(sorted(CODES)), weight=st.sampled_from(sorted(FIDELITY_OF)),
    short=st.text(max_size=9),
    what=st.text(max_size=20), happens=st.text(max_size=9), remedy=st.text(max_size=9), dag=st.none() | keys,
    task=st.none(), file=st.none() | keys, line=st.none() | st.integers(1, 99), column=st.none() | st.integers(1, 99),
)  # fmt: skip


@st.composite
def workflows(draw: st.DrawFn) -> ImportedWorkflow:
    names = draw(st.lists(keys, unique=True, max_size=5))
    said = draw(st.lists(findings, max_size=6))
    said = [replace(one, task=draw(st.sampled_from([None, *names]))) for one in said]
    made = workflow(
        *((name, draw(st.sampled_from(HOMES))) for name in names),
        findings=tuple(said),
        name=draw(keys),
        sql=draw(st.text()),
    )
    return replace(made, proofs=(Proof("render", draw(st.booleans()), "x"),), needs=Needs(reads=("r",), unread=("u",)))


@settings(deadline=None, max_examples=60)
@given(st.lists(workflows(), max_size=4), st.booleans())
def test_any_report_survives_its_json_and_adds_up(made: list[ImportedWorkflow], has_failure: bool) -> None:
    found = report(*made, failures=(FAILURE,) if has_failure else ())
    text = render_json(found)
    again = load_report(text)
    SCHEMA.validate(json.loads(text))
    # What depends on the moment of reading is for the terminal of that moment.
    timeless = [replace(one, schedule=ScheduleFacts(one.schedule.words)) for one in found.workflows]
    assert again == replace(found, facts=replace(found.facts, seconds=0.0), workflows=tuple(timeless))
    assert found.totals.tasks == sum(found.totals.cells.values()) == sum(len(one.tasks) for one in made)
    assert render_markdown(again) == render_markdown(found)
    assert terminal(again)


def test_the_schema_is_one_and_refuses_what_is_no_report() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    document = json.loads(render_json(report(MIXED, failures=(FAILURE,))))
    assert list(SCHEMA.iter_errors(document)) == []
    for change in ({"pgdurable_report": 2}, {"more": 1}, {"totals": {}}, {"workflows": [{}]}):
        assert list(SCHEMA.iter_errors({**document, **change})) != []
    assert report_schema()["$id"] == "urn:pgdurable:report:1"


def test_equal_readings_are_equal_text_whenever_they_are_read() -> None:
    later = replace(MIXED, schedule=ScheduleFacts("no schedule", "Tue 06:00", 9))
    assert report_files(report(later)) == report_files(report(MIXED))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "{", "r.json is no JSON"),
        (lambda text: "[]", "r.json is no report of pgdurable"),
        (lambda text: '{"pgdurable_graph": 1}', "r.json is no report of pgdurable"),
        (lambda text: text.replace('_report": 1', '_report": 2'), "r.json is of version 2, and this pgdurable reads"),
        (lambda text: text.replace('"home": "native"', '"home": "moon"'), "/workflows/0/tasks/0/home: one of native"),
        (lambda text: text.replace('"line": 3', '"line": "3"'), "/workflows/0/findings/0/line: a whole number"),
        (lambda text: text.replace('"after": []', '"after": [1]'), "/workflows/0/tasks/0/after/0: a text is expected"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused_by_name_and_place(change: object, words: str) -> None:
    assert callable(change)
    text = render_json(report(MIXED))
    with pytest.raises(UsageError) as caught:
        load_report(change(text), "r.json")
    assert words in str(caught.value)


def test_numbers_in_a_saved_report_are_computed_again() -> None:
    text = render_json(report(MIXED)).replace('"tasks": 4', '"tasks": 40').replace('"with_home": 3', '"with_home": 30')
    assert load_report(text).totals == report(MIXED).totals


def test_the_first_screen_says_what_there_is_to_do() -> None:
    made = replace(
        MIXED,
        needs=Needs(("wh",), ("v",), ("p",), ("requests",), ("jq",), ("a.r",), ("a.w",), ("a.t",), ("a.f",), ("b",)),
    )
    text = render_markdown(report(made))
    first = text[: text.index("## Graph")].splitlines()
    assert first == [
        "# w cannot run on pgdurable yet: one thing in the way.",
        "",
        "| home | tasks | exact | equivalent | review | blocked |",
        "|---|--:|--:|--:|--:|--:|",
        "| native | 2 | 1 | 1 | 0 | 0 |",
        "| worker | 1 | 0 | 0 | 1 | 0 |",
        "| operator | 1 | 0 | 0 | 0 | 1 |",
        "| **all** | **4** | **1** | **1** | **1** | **1** |",
        "",
        "**Blocked** (cannot run on this version)",
        "1. `c` dags/x.py:3:5, AF020: There is a blocked. It stays. Mend it.",
        "",
        "**Decide**",
        "1. `b` dags/x.py:3:5, AF020: There is a decide. It stays. Mend it.",
        "",
        "**Changed on the way, same outcome**: `d` a changed (AF020)",
        "",
        "**Schedule**: no schedule",
        "",
        "**The target must have**: connection `wh` · Variable `v` · pool `p` · package `requests` · binary `jq` · "
        "rights: select a.r; write a.w; truncate a.t; execute a.f (and what it takes inside) · **and what cannot be "
        "read from the SQL of** `b`",
        "",
        "**Do first**: what is listed under Blocked; then import again. Until then nothing is written.",
        "",
        "**Assumed**: Airflow 3.3.2 live; no airflow.cfg found; 0 of 2 files failed.",
        "",
    ]  # fmt: skip


def test_a_folder_is_summed_up_before_its_workflows() -> None:
    first = render_markdown(report(MIXED, replace(MIXED, name="v"), failures=(FAILURE,))).partition("<a id")[0]
    assert first.splitlines() == [
        "# 0 of 2 workflows can run on pgdurable; 1 file failed.",
        "",
        "| home | tasks | exact | equivalent | review | blocked |",
        "|---|--:|--:|--:|--:|--:|",
        "| native | 4 | 2 | 2 | 0 | 0 |",
        "| worker | 2 | 0 | 0 | 2 | 0 |",
        "| operator | 2 | 0 | 0 | 0 | 2 |",
        "| **all** | **8** | **2** | **2** | **2** | **2** |",
        "",
        "**Files that gave no workflow**",
        "",
        "1. `dags/y.py:7` AF001: NameError: x.",
        "",
        "**Most often in the way**: a blocked (AF020) 2 times",
        "",
        "**Assumed**: Airflow 3.3.2 live; no airflow.cfg found; 1 of 2 files failed.",
        "",
        "| workflow | tasks | with a home | readiness | file |",
        "|---|--:|--:|---|---|",
        "| [w](#w) | 4 | 3 | blocked | `dags/x.py` |",
        "| [v](#v) | 4 | 3 | blocked | `dags/x.py` |",
        "",
    ]


def test_what_is_said_of_many_tasks_is_said_once() -> None:
    names = [f"t{number}" for number in range(6)]
    said = tuple(finding("decide", name) for name in names)
    text = render_markdown(report(workflow(*((name, "native") for name in names), findings=said)))
    assert text.startswith("# w can run on pgdurable today. One thing to decide.\n")
    assert "`t3` dags/x.py:3:5 and 2 more, AF020: There is a decide." in text
    assert text.count("### AF020") == 6


@pytest.mark.parametrize(
    "sql", ["select '|' as a", "select `x`", "select $$``$$ | 1", "select 'a\nb'", "x" * 500, "<b>", "a | `b` | c"]
)
def test_no_sql_breaks_the_row_of_its_task(sql: str) -> None:
    (row,) = [
        line
        for line in render_markdown(report(workflow(("a", "native"), sql=sql))).splitlines()
        if line.startswith("| `a`")
    ]
    assert len(re.findall(r"(?<!\\)\|", row)) == 10
    assert len(row) < 200


def test_the_terminal_counts_what_can_run_and_says_what_is_blocked_as_a_whole() -> None:
    assert "3 of 4 tasks have a home: 2 native, 1 worker; 1 exact, 1 equivalent, 1 review, 1 blocked\n" in terminal(
        report(MIXED)
    )
    whole = workflow(("a", "native"), ("b", "native"), findings=(finding("blocked", None),), name="v")
    said = terminal(report(MIXED, whole))
    assert (
        "0 of 2 tasks have a home: 0 native, 0 worker; 2 exact, 0 equivalent, 0 review, 0 blocked (the DAG is" in said
    )
    assert said.endswith(
        "2 DAGs: 2 blocked\n3 of 6 tasks have a home: 2 native, 1 worker; 3 exact, 1 equivalent, 1 review, 1 blocked\n"
    )


READY = workflow(("a", "native"), name="ready")
UNSURE = workflow(("a", "native"), findings=(finding("decide", None),), name="unsure")
BLOCKED = replace(MIXED, name="mixed")
OPEN = "blocked, or for a person to decide (--fail-on review)"


@pytest.mark.parametrize(
    ("workflows", "failures", "under", "on", "said"),
    [
        ([READY, UNSURE], (), None, None, []),
        ([READY, BLOCKED], (), None, None, ["blocked (--fail-on blocked): mixed"]),
        ([READY, BLOCKED], (), 80.0, None, []),
        ([READY, BLOCKED], (), 80.1, None, ["4 of 5 tasks have a home, which is less than 80.1 % (--fail-under)"]),
        ([READY, BLOCKED], (), 80.0, "blocked", ["blocked (--fail-on blocked): mixed"]),
        ([READY, UNSURE], (), None, "blocked", []),
        ([READY, UNSURE], (), None, "review", [f"{OPEN}: unsure"]),
        ([BLOCKED, UNSURE], (), 0.0, "review", [f"{OPEN}: mixed and unsure"]),
        ([READY], (FAILURE,), 0.0, None, ["1 of 2 files gave no workflow"]),
        ([], (), 100.0, None, []),
    ],
)  # fmt: skip
def test_gates_say_what_does_not_hold(
    workflows: list[ImportedWorkflow],
    failures: tuple[ReadFailure, ...],
    under: float | None,
    on: FailOn | None,
    said: list[str],
) -> None:
    assert list(Gates(under, on).objections(report(*workflows, failures=failures))) == said


NAMED: Mapping[str, Tables] = {
    "select * from a.r join (select 1) s on true": Tables(reads=frozenset({"a.r"})),
    "with c as (select * from a.r) insert into a.w select * from c": Tables(frozenset({"a.r"}), frozenset({"a.w"})),
    'update "A".w set x = r.x from r': Tables(frozenset({"r"}), frozenset({'"A".w'})),
    "truncate a.t; copy a.w from stdin": Tables(writes=frozenset({"a.w"}), truncates=frozenset({"a.t"})),
    "select a.f(1), pg_catalog.now() from a.g('{ds}')": Tables(calls=frozenset({"a.f", "a.g"})),
    "select * into a.w from a.r": Tables(frozenset({"a.r"}), frozenset({"a.w"})),
    "call a.p()": Tables(is_whole=False),
    "select from from": Tables(is_whole=False),
}


@pytest.mark.parametrize("sql", NAMED)
def test_rights_are_read_from_the_sql_and_what_cannot_be_read_is_said(sql: str) -> None:
    assert tables(sql) == NAMED[sql]


def test_every_fidelity_has_a_weight_that_gives_it() -> None:
    words: list[Fidelity] = list(dict.fromkeys(FIDELITY_OF.values()))
    assert tuple(words) == FIDELITIES
