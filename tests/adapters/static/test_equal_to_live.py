"""Static reading equals live reading wherever it claims certainty, and claims it for what people write."""

import re
from pathlib import Path

import pytest
from airflow_oracle import AS_OF, DAGS, EXAMPLE
from comparing import Comparison, compare
from constructs import CONSTRUCTS, HEAD
from pgdurable_airflow.importer import AirflowImporter
from pgdurable_airflow.importer.reading import find_jobs
from test_bundled_examples import folders

from pgdurable_core.importing import ReadOptions


def both(path: Path) -> Comparison:
    jobs = find_jobs([path])
    return compare([job.path for job in jobs], jobs[0].roots, AS_OF)


@pytest.mark.parametrize("path", [EXAMPLE / "dags" / "orders_daily.py", DAGS / "forms.py"], ids=lambda path: path.name)
def test_the_example_and_every_form_are_identical(path: Path, needs_airflow: None) -> None:
    found = both(path)
    assert (found.uncertain, found.different) == ([], {})


@pytest.fixture(scope="module")
def constructs(tmp_path_factory: pytest.TempPathFactory, needs_airflow: None) -> Comparison:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "sql").mkdir()
    (folder / "sql" / "x.sql").write_text("select '{{ ds }}'\n")
    for name, text in CONSTRUCTS.items():
        (folder / f"{name.replace(' ', '_').replace('=', '')}.py").write_text(HEAD + text)
    return both(folder)


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_is_read_as_airflow_reads_it(constructs: Comparison, name: str) -> None:
    file = f"{name.replace(' ', '_').replace('=', '')}.py:"
    assert {each: found for each, found in constructs.different.items() if each.startswith(file)} == {}
    assert [each for each in constructs.uncertain if each.startswith(file)] == []
    assert [each for each in constructs.identical if each.startswith(file)]


def test_no_example_of_airflows_own_differs_while_it_is_claimed_certain(needs_airflow: None) -> None:
    whole = Comparison()
    for folder in folders():
        found = both(folder)
        whole.identical += found.identical
        whole.uncertain += found.uncertain
        whole.different |= found.different
    assert whole.different == {}, str(whole)
    assert len(whole.identical) > 60


def test_the_sql_file_of_the_example_is_the_reviewed_one_but_for_how_it_was_read() -> None:
    result = AirflowImporter().read([EXAMPLE / "dags" / "orders_daily.py"], ReadOptions(as_of=AS_OF, static=True))
    files = {file.path: file.text for file in result.imports[0].files}
    for name in ("orders_daily.sql", "orders_daily.graph.json"):
        reviewed = (EXAMPLE / "workflows" / name).read_text()
        own = re.sub(r"read statically: Airflow [\d.]+", "read live: Airflow 3.3.2", files[name])
        # The last line holds a hash of the text, which differs with the header.
        assert re.sub("text [0-9a-f]{8}", "text", own) == re.sub("text [0-9a-f]{8}", "text", reviewed)
