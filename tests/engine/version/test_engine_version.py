"""df.version."""

from engine_room import Engine

from pgdurable_core.schema import package_version


def test_it_names_the_package_and_the_schema(pure: Engine) -> None:
    schema = pure.value("select schema_version from df._engine")
    assert pure.value("select df.version()") == f"{package_version()} (pgdurable, schema {schema})"
