"""df.branch: the query's answer chooses among the direct successors."""

from __future__ import annotations

from engine_room import Engine, step


def branch(query: str) -> str:
    return f"df.branch($q${query}$q$)"


def test_it_is_a_step_of_kind_branch(pure: Engine) -> None:
    assert pure.value("select df.step('a', df.branch(E'\\nselect 1\\n'))") == {
        "key": "a",
        "run": {"kind": "branch", "sql": "select 1"},
    }


def choose(engine: Engine, query: str) -> dict[str, str]:
    """A branch into b1, b2 and b3; a join that wants one success; and a strict one."""
    return engine.states(
        engine.run(
            step("choose", branch(query)),
            step("b1", "select 1", after="{choose}"),
            step("b2", "select 1", after="{choose}"),
            step("b3", "select 1", after="{choose}"),
            step("loose", "select 1", after="{b1,b2,b3}", rule="none_failed_min_one_success"),
            step("strict", "select 1", after="{b1,b2,b3}"),
        )
    )


def chosen(*keys: str, loose: str = "completed") -> dict[str, str]:
    branches = {key: "completed" if key in keys else "skipped" for key in ("b1", "b2", "b3")}
    strict = "completed" if len(keys) == 3 else "skipped"
    return {"choose": "completed", **branches, "loose": loose, "strict": strict}


def test_one_key_skips_the_others(engine: Engine) -> None:
    assert choose(engine, "select 'b2'") == chosen("b2")


def test_many_keys_come_as_rows_or_as_one_array(engine: Engine) -> None:
    assert choose(engine, "select 'b1' union all select 'b3'") == chosen("b1", "b3")
    assert choose(engine, "select array['b1', 'b2', 'b3']") == chosen("b1", "b2", "b3")


def test_no_key_skips_everything_directly_behind_it(engine: Engine) -> None:
    for query in ("select 'b1' where false", "select null", "select '{}'::text[]"):
        assert choose(engine, query) == chosen(loose="skipped")


def test_only_the_first_column_is_an_answer(engine: Engine) -> None:
    assert choose(engine, "select 'b1' as key, 'b2' as why") == chosen("b1")


def test_a_key_that_is_no_step_fails_the_branch(engine: Engine) -> None:
    instance = engine.run(
        step("choose", branch("select 'b9' union select 'b1'")), step("b1", "select 1", after="{choose}")
    )
    assert engine.states(instance) == {"choose": "failed", "b1": "upstream_failed"}
    assert engine.error(instance, "choose") == {
        "sqlstate": "PD400",
        "message": "the branch chose b9, which is no step of this workflow",
    }


def test_a_descendant_of_a_chosen_step_is_not_skipped_by_the_branch(engine: Engine) -> None:
    instance = engine.run(
        step("choose", branch("select 'a'")),
        step("a", "select 1", after="{choose}"),
        step("b", "select 1", after="{choose}"),
        step("join", "select 1", after="{choose,a}"),
    )
    assert engine.states(instance) == {"choose": "completed", "a": "completed", "b": "skipped", "join": "completed"}


def test_a_skip_by_the_branch_overrides_the_rule_of_what_it_skips(engine: Engine) -> None:
    instance = engine.run(
        step("other", "select 1"),
        step("choose", branch("select 'a'")),
        step("a", "select 1", after="{choose}"),
        step("b", "select 1", after="{choose,other}", rule="all_done"),
        step("c", "select 1", after="{b}", rule="all_done"),
    )
    assert engine.states(instance) == {
        "other": "completed",
        "choose": "completed",
        "a": "completed",
        "b": "skipped",
        "c": "completed",
    }


def test_a_branch_can_choose_a_mapped_step(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select 1 as n union all select 2"),
        step("choose", branch("select 'm'"), after="{src}"),
        step("m", "select $item.n", each="src", after="{choose}"),
        step("x", "select 1", after="{choose}"),
    )
    assert engine.states(instance) == {
        "src": "completed",
        "choose": "completed",
        "m": "completed",
        "m[0]": "completed",
        "m[1]": "completed",
        "x": "skipped",
    }


def test_a_branch_that_skips_a_mapped_step_skips_what_follows(engine: Engine) -> None:
    instance = engine.run(
        step("src", "select 1 as n"),
        step("choose", branch("select 'x'"), after="{src}"),
        step("m", "select $item.n", each="src", after="{choose}"),
        step("x", "select 1", after="{choose}"),
        step("after", "select 1", after="{m}"),
    )
    assert engine.states(instance) == {
        "src": "completed",
        "choose": "completed",
        "m": "skipped",
        "x": "completed",
        "after": "skipped",
    }
