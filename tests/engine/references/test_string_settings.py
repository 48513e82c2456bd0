"""standard_conforming_strings = off, wherever it was set, changes neither what a text means nor what a value is."""

from __future__ import annotations

import json

import pytest
from engine_people import People
from engine_room import Engine, refused_definition, step
from engine_worker import Worker

OFF = "standard_conforming_strings = off"
LOOT = "; drop table victim; --"
VALUES = [
    "\\",
    "'",
    "\\'",
    "\\\\'",
    "a\\nb",
    f"'{LOOT}",
    f"\\'{LOOT}",
    f"\\\\'{LOOT}",
    f" || '{LOOT}",
    f"\\'||\\'{LOOT}",
]
# What each gives where a backslash is a letter. Where it escapes, the value of the second would stand outside quotes.
TEXTS = {
    "select $params.v as v": "{v}",
    "select '\\' || $params.v || '\\' as v": "\\{v}\\",
    "select E'\\\\' || $params.v || E'\\'' as v": "\\{v}'",
    "select '\\' || $src.v as v": "\\{v}",
    "select '\\' || src.v as v from $src.*": "\\{v}",
    "select '{bound}\\' || $params.v as v": "\\2\\{v}",
    "select '\\' as v": "\\",
}


def set_off(people: People, where: str) -> tuple[str, Engine]:
    """Set it off for a user or for all; return the user and a session of before. The owner's session begins anew."""
    role, engine = people.user()
    database = people.database.name
    places = {"role": f"role {role}", "database": f"database {database}", "both": f"role {role} in database {database}"}
    if where == "session":
        people.owner.rows(f"set {OFF}")
        return role, engine
    people.superuser.execute(f"alter {places[where]} set {OFF}".encode())
    people.owner.connection.close()
    people.owner.connection = people.database.connect()
    people.connections.append(people.owner.connection)
    return role, engine


def define(engine: Engine, *steps: tuple[str, str]) -> None:
    """Define a workflow w whose texts do not pass through the session's own rules for quotes."""
    stated = ", ".join(["df.step(%s, %s, after => %s, bind => %s)"] * len(steps))
    bind = '{"bound": "chr(92) || 2"}'
    values = [value for key, run in steps for value in (key, run, [] if key == "src" else ["src"], bind)]
    engine.rows(f"select df.create_workflow('w', steps => array[{stated}])", *values)


@pytest.mark.parametrize("where", ["role", "database", "both", "session"])
def test_no_value_breaks_out_of_its_quotes(people: People, where: str) -> None:
    _, engine = set_off(people, where)
    engine.rows("create table public.victim ()")
    define(engine, ("src", "select $params.v as v"), *((f"s{n}", text) for n, text in enumerate(TEXTS)))
    for value in VALUES:
        instance = engine.value("select df.start_workflow('w', params => jsonb_build_object('v', %s::text))", value)
        people.owner.work()
        found = {
            text: engine.rows(
                "select result -> 0 ->> 'v', error ->> 'message' from df.steps where key = %s and instance_id = %s",
                f"s{n}",
                instance,
            )
            for n, text in enumerate(TEXTS)
        }
        assert found == {text: [(expected.replace("{v}", value), None)] for text, expected in TEXTS.items()}
    assert engine.rows("select * from public.victim") == []


def test_statements_end_where_they_ended_when_the_workflow_was_defined(people: People) -> None:
    engine = people.login(set_off(people, "database")[0])
    define(engine, ("src", r"select '\' as a, E'\'; x' as b, $$\$$ as c; select '\\' as d"))
    instance = engine.start("w")
    people.owner.work()
    assert engine.result(instance, "src") == [{"d": "\\\\"}]


def test_what_a_worker_gets_is_put_in_alike(people: People) -> None:
    engine = people.login(set_off(people, "database")[0])
    engine.rows(
        "select df.create_workflow('w', steps => array[df.step('p', df.python('pack_age.mod:func_1', args => %s))])",
        r'{"a": "\\d {ds}"}',
    )
    engine.start("w", ", logical_date => '2024-01-02'")
    claim = Worker(people.login(people.database.owner)).must_claim("python")
    assert json.loads(claim["args_json"]) == {"a": r"\d 2024-01-02"}


def test_a_session_step_has_it_on_in_its_settings(people: People) -> None:
    engine = people.login(set_off(people, "role")[0])
    define(engine, ("src", r"copy (select '\' || $params.v) to stdout"))
    engine.start("w", ", params => '{\"v\": 1}'")
    claim = Worker(people.owner).must_claim("session")
    assert claim["settings"]["standard_conforming_strings"] == "on"


WAYS = [f"set {OFF}", f"SET LOCAL {OFF}", f"set session {OFF}", "reset standard_conforming_strings"]


@pytest.mark.parametrize("text", WAYS)
def test_a_text_that_sets_it_itself_is_refused(pure: Engine, text: str) -> None:
    state, message, _, hint = refused_definition(pure, step("a", text))
    assert (state, message.removeprefix("w: 1 problem: step a: ")) == (
        "PD400",
        "a step's text is read with standard_conforming_strings on, and cannot set it",
    )
    assert hint == "Write E'...' where a backslash is to escape."


def test_a_text_without_names_is_read_alike(people: People) -> None:
    engine = people.login(set_off(people, "database")[0])
    run = r"select '\' as a, E'\'; x' as b, $$\$$ as c; select '\\' as d"
    engine.rows("select df.create_workflow('w', steps => array[df.step('a', %s)])", run)
    instance = engine.start("w")
    people.owner.work()
    assert engine.result(instance, "a") == [{"d": "\\\\"}]
