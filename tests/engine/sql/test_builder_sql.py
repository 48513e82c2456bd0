"""df.sql: text as a builder."""

from engine_room import Engine


def test_it_means_the_same_as_its_text(pure: Engine) -> None:
    text = 'select \'{"a": 1}\', $body$ \\ " $body$ -- é\n'
    assert pure.value("select df.step('a', df.sql(%s))", text) == {"key": "a", "run": {"kind": "sql", "sql": text}}
