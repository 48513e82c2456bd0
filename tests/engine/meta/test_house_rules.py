"""What must hold for every function of schema df, whoever writes the next one."""

from __future__ import annotations

import re
from pathlib import Path

from engine_room import Engine

from pgdurable_core.errors import BY_SQLSTATE

FLOOR = Path(__file__).parent.parent
SQL = Path(__file__).parents[3] / "pgdurable_core" / "sql"

PUBLIC = "select distinct proname from pg_proc where pronamespace = 'df'::regnamespace and proname !~ '^_' order by 1"

# Procedures that commit cannot have a SET clause; what cleans a session would undo its own; what shall be inlined must
# not have one; and bind expressions are evaluated under their author's own path. All of these qualify by hand.
WITHOUT_SEARCH_PATH = {"work", "tick", "purge", "_clean", "_watch_client", "_me", "_texts", "session_text"}
SYNTAX = {"coalesce", "if", "and", "or", "not", "in", "values", "array", "x"}


def test_every_public_function_has_a_comment(pure: Engine) -> None:
    silent = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'df'::regnamespace and p.proname !~ '^_' and obj_description(p.oid, 'pg_proc') is null"""
    assert pure.rows(silent) == []


def test_every_public_view_has_a_comment(pure: Engine) -> None:
    silent = """
        select c.relname from pg_class c where c.relnamespace = 'df'::regnamespace and c.relkind in ('v', 'r')
          and c.relname !~ '^_' and obj_description(c.oid, 'pg_class') is null"""
    assert pure.rows(silent) == []


def test_every_public_function_has_a_folder_of_tests(pure: Engine) -> None:
    tested = {folder.parent.name for folder in FLOOR.glob("*/test_*.py")}
    assert sorted(set(pure.column(PUBLIC)) - tested) == []


def test_every_public_function_and_view_stands_in_the_readme(pure: Engine) -> None:
    text = (SQL / "README.md").read_text()
    views = "select relname from pg_class where relnamespace = 'df'::regnamespace and relkind = 'v' and relname !~ '^_'"
    names = pure.column(PUBLIC) + pure.column(views)
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def raised() -> set[str]:
    texts = [path.read_text() for path in SQL.rglob("*.sql")]
    # PD000 is no error: it marks the notices that say whose output follows
    return {code for text in texts for code in re.findall(r"\bPD\d{3}\b", text)} - {"PD000"}


def test_every_code_raised_is_in_the_readme_and_has_a_python_type() -> None:
    table = dict(re.findall(r"^\| (PD\d{3}) \| .* \| `(\w+)` \|$", (SQL / "README.md").read_text(), re.M))
    assert table == {code: kind.__name__ for code, kind in BY_SQLSTATE.items()}
    assert sorted(raised() - set(table)) == []


def test_every_refusal_of_the_engine_has_a_code_of_its_own() -> None:
    bare = []
    for path in sorted((SQL / "functions").rglob("*.sql")):
        for statement in re.findall(r"raise exception\b.*?;\n", path.read_text(), re.S):
            if "errcode" not in statement:
                bare.append((path.name, statement.strip()))
    assert bare == []


def test_a_function_with_a_backslash_in_a_plain_literal_pins_what_that_means(pure: Engine) -> None:
    bodies = "select proname, prosrc, proconfig from pg_proc where pronamespace = 'df'::regnamespace"
    for name, source, config in pure.rows(bodies):
        code = re.sub(r"\bE'(?:[^'\\]|\\.|'')*'", "", re.sub(r"--[^'\n]*$", "", source, flags=re.M))
        if "\\" in code:
            assert "standard_conforming_strings=on" in (config or []), name


def test_every_function_pins_its_search_path_but_the_listed_ones(pure: Engine) -> None:
    loose = """
        select p.proname from pg_proc p where p.pronamespace = 'df'::regnamespace
          and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)"""
    assert set(pure.column(loose)) == WITHOUT_SEARCH_PATH


def test_a_function_without_a_search_path_qualifies_what_it_calls_and_compares_with(pure: Engine) -> None:
    for name in sorted(WITHOUT_SEARCH_PATH):
        code = re.sub(r"'[^']*'", "''", re.sub(r"--.*", "", body(pure, name)))
        calls = set(re.findall(r"(?<![\w.])([a-z_]\w*)\s*\(", code.replace("operator(", "")))
        assert (name, calls - SYNTAX) == (name, set())
        bare = re.sub(r"operator\(pg_catalog\.[^)]+\)|:=|=>|::|diagnostics \w+ =|errcode =", "", code)
        assert (name, re.findall(r"[+*/<>~!@#%^&|`?=]", re.sub(r"count\(\*\)|select \*|unlisten \*", "", bare))) == (
            name,
            [],
        )


def body(pure: Engine, name: str) -> str:
    return str(pure.value("select prosrc from pg_proc where pronamespace = 'df'::regnamespace and proname = %s", name))


def test_the_procedures_that_commit_hold_no_operator_and_no_table(pure: Engine) -> None:
    tables = pure.column("select relname from pg_class where relnamespace = 'df'::regnamespace")
    for name in ("work", "tick", "purge"):
        source = re.sub(r"--.*", "", body(pure, name))
        code = re.sub(r"'[^']*'", "''", source)
        assert [table for table in tables if re.search(rf"\b{table}\b", code)] == []
        assert re.findall(r"\b(?:select|insert|update|delete|from|like|between)\b", code) == []
        assert len(source.strip().splitlines()) <= 55


def test_functions_called_between_commits_are_qualified(pure: Engine) -> None:
    source = re.sub(r"--.*|'[^']*'|operator\(pg_catalog\.[^)]+\)", "", body(pure, "work"))
    called = re.findall(r"\b(?:\w+\.)?\w+\s*\(", source)
    assert [call for call in called if not call.startswith(("df.", "pg_catalog."))] == []


def test_every_definer_pins_its_search_path_with_temp_last(pure: Engine) -> None:
    definers = "select proname, proconfig from pg_proc where pronamespace = 'df'::regnamespace and prosecdef"
    for name, config in pure.rows(definers):
        assert "search_path=pg_catalog, pg_temp" in (config or []), name


def test_nothing_is_granted_to_everybody(pure: Engine) -> None:
    tables = """
        select c.relname from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace = 'df'::regnamespace and a.grantee = 0"""
    functions = """
        select p.proname from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = any(array['df', 'df_runners']::regnamespace[]) and a.grantee = 0"""
    assert pure.rows(tables) + pure.rows(functions) == []
