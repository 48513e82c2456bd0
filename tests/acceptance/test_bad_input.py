"""Bad input and bad days of `import`: what is said, how it ends, and that nothing is written, or nothing by halves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Pgdurable, Said
from server import Database

DAG = "from airflow.sdk import DAG\n"
EMPTY = DAG + "from airflow.providers.standard.operators.empty import EmptyOperator as E\n"
QUERY = DAG + "from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator as Q\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "pgdurable.toml").write_text("")
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder, hidden files too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


BAD = {
    "syntax": (DAG + "with DAG('x'\n", ":2:1  AF001 SyntaxError: '(' was never closed"),
    "raises": (DAG + "if True:\n    raise ValueError('no such table')\n", ":3:5  AF001 ValueError: no such table"),
    "loops": (DAG + "while True: pass\n", "  AF002 the file was still being executed after 3 s"),
    "eats": (
        DAG + "held = []\nwhile True: held.append(bytearray(50_000_000))\n",
        "  AF003 the file took more than 600 MiB",
    ),
    "exits": (DAG + "import sys\nsys.exit(3)\n", ":3:1  AF001 SystemExit: 3"),
    "ends": (DAG + "import os\nos._exit(0)\n", "  AF004 the process that executed the file ended: exit 0"),
    "circles": (
        EMPTY + "with DAG('x'):\n    a = E(task_id='a')\n    a >> E(task_id='b') >> a\n",
        "  AF001 AirflowDagCycleException: Cycle detected in Dag: x",
    ),
    "repeats": (
        EMPTY + "with DAG('x'):\n    E(task_id='a')\n    E(task_id='a')\n",
        "DuplicateTaskIdFound: Task id 'a' has already been added to the Dag",
    ),
    "slash": (EMPTY + "with DAG('a/b'):\n    E(task_id='a')\n", ":3:1  AF001 ValueError: The key 'a/b' has to be"),
    "blank": (EMPTY + "with DAG('a b'):\n    E(task_id='a')\n", ":3:1  AF001 ValueError: The key 'a b' has to be"),
    "nothing": (
        "from airflow.sdk import dag\n@dag\ndef never_called():\n    pass\n",
        "  AF005 the file loads and defines no DAG",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def all_bad(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    """What an import of nothing but bad files says, and its folder."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "dags").mkdir()
    for name, (text, _) in BAD.items():
        (folder / "dags" / f"{name}.py").write_text(text)
    pgdurable = Pgdurable(folder, home)
    return pgdurable("import", "airflow", "dags", "--time-limit", "3", "--memory-limit", "600"), folder


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_gives_no_dag_is_told_with_its_place(all_bad: tuple[Said, Path], name: str) -> None:
    said, _ = all_bad
    lines = [line for line in said.out.splitlines() if f"dags/{name}.py" in line]
    assert len(lines) == 1, said.out
    assert lines[0].startswith("Failed    ")
    assert BAD[name][1] in lines[0]


def test_an_import_that_gave_no_dag_answers_no_and_writes_nothing(all_bad: tuple[Said, Path]) -> None:
    said, folder = all_bad
    assert said.status == 1
    assert "Wrote" not in said.err
    assert "pgdurable finding AF001" in said.err
    assert sorted(tree(folder)) == ["dags", *sorted(f"dags/{name}.py" for name in BAD)]


def test_one_bad_file_is_named_and_no_report_of_nothing_is_written(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(BAD["syntax"][0])
    before = tree(folder)
    said = pgdurable("import", "airflow", "dags/x.py")
    assert (said.status, said.out.startswith("Read      dags/x.py, live with Airflow")) == (1, True)
    assert tree(folder) == before


def test_a_file_that_prints_does_not_get_into_the_answer(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(
        EMPTY + "import os, sys\nprint('{}')\nos.write(1, b'loud')\nsys.stderr.write('loud' * 100_000)\n"
        "with DAG('x'):\n    E(task_id='a')\n"
    )
    said = pgdurable("import", "airflow", "dags/x.py", "--format", "json")
    assert (said.status, "loud" in said.out + said.err) == (0, False)
    assert [task["key"] for task in said.json["workflows"][0]["tasks"]] == ["a"]


def test_an_operator_of_a_missing_provider_leaves_a_draft_that_is_never_deployed(
    pgdurable: Pgdurable, folder: Path
) -> None:
    (folder / "dags" / "x.py").write_text(
        EMPTY + "from airflow.providers.nosuch.operators.x import NoSuchOperator\n"
        "with DAG('x'):\n    NoSuchOperator(task_id='a') >> E(task_id='b')\n"
    )
    said = pgdurable("import", "airflow", "dags/x.py")
    assert said.status == 1
    assert "AF303 line 5: NoSuchOperator is not installed" in said.out
    assert "1 of 2 tasks have a home" in said.out
    assert sorted(path.name for path in (folder / "workflows").iterdir()) == ["report.json", "report.md", "x.sql.draft"]
    ran = pgdurable("import", "airflow", "dags/x.py", "--run")
    assert (ran.status, "x is not run: blocked a" in ran.err) == (1, True)


SAME = {
    "twice": ("x", "x", "AF007 dags/x.py:3:1: 2 DAGs are called x"),
    "in another case": ("Orders", "orders", "AF007 dags/x.py:3:1: 2 DAG ids differ in case only"),
    "with other letters": ("aüb", "a_b", "AF007 dags/x.py:3:1: 2 DAGs are called a_b"),
}


@pytest.mark.parametrize("name", SAME)
def test_a_dag_id_found_twice_is_an_account_of_both_and_a_workflow_of_neither(
    pgdurable: Pgdurable, folder: Path, name: str
) -> None:
    first, second, words = SAME[name]
    (folder / "dags" / "x.py").write_text(
        EMPTY + f"with DAG('{first}'):\n    E(task_id='a')\nwith DAG('{second}'):\n    E(task_id='a')\n"
    )
    said = pgdurable("import", "airflow", "dags/x.py")
    assert said.status == 1
    assert words in said.out
    assert "0 of 2 tasks have a home" in said.out
    assert sorted(path.name for path in (folder / "workflows").iterdir()) == ["report.json", "report.md"]


def test_what_was_copied_out_of_two_dags_never_shares_a_file(pgdurable: Pgdurable, folder: Path) -> None:
    text = (
        "def make{n}():\n    @task\n    def load():\n        return {n}\n"
        "    with DAG('{name}'):\n        load()\nmake{n}()\n"
    )
    (folder / "dags" / "x.py").write_text(
        DAG + "from airflow.sdk import task\n" + text.format(n=1, name="a-b") + text.format(n=2, name="a.b")
    )
    said = pgdurable("import", "airflow", "dags/x.py")
    assert said.status == 1
    assert "2 DAGs would write one file" in said.out
    assert "tasks/a_b.py" in (folder / "workflows" / "report.md").read_text()
    assert not (folder / "workflows" / "tasks").exists()


@pytest.mark.parametrize(("dag_id", "name"), [("a.b", "a.b"), ("..", "__"), ("für", "f_r"), ("x" * 250, "x" * 240)])
def test_a_dag_id_that_is_hard_on_files_gives_files_below_the_folder(
    pgdurable: Pgdurable, folder: Path, dag_id: str, name: str
) -> None:
    (folder / "dags" / "x.py").write_text(EMPTY + f"with DAG('{dag_id}'):\n    E(task_id='a')\n")
    said = pgdurable("import", "airflow", "dags/x.py")
    assert said.status == 0, said.err
    assert {path.name for path in folder.rglob(f"{name}.*")} == {f"{name}.sql", f"{name}.graph.json"}


def test_a_workflow_never_takes_the_file_of_one_whose_name_differs_in_case(pgdurable: Pgdurable, folder: Path) -> None:
    for name in ("Orders", "orders"):
        (folder / "dags" / f"of_{name}.py").write_text(EMPTY + f"with DAG('{name}'):\n    E(task_id='a')\n")
    assert pgdurable("import", "airflow", "dags/of_Orders.py").status == 0
    before = (folder / "workflows" / "Orders.sql").read_bytes()
    said = pgdurable("import", "airflow", "dags/of_orders.py")
    assert said.status == 1
    assert "workflows/orders.sql would take the place of Orders.sql where case does not count" in said.err
    assert (folder / "workflows" / "Orders.sql").read_bytes() == before
    assert not (folder / "workflows" / "orders.graph.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.py", b"import os\n", "there is no workflow in dags/notes.py"),
        ("data.bin", b"\x00\xff", "dags/data.bin is no Python file"),
        ("query.sql", b"select 1;", "dags/query.sql is no Python file"),
        ("packed.zip", b"PK\x05\x06" + b"\x00" * 18, "a packaged one must be unpacked"),
    ],
)
def test_a_file_that_is_no_dag_is_a_usage_error(
    pgdurable: Pgdurable, folder: Path, name: str, content: bytes, words: str
) -> None:
    (folder / "dags" / name).write_bytes(content)
    before = tree(folder)
    said = pgdurable("import", "airflow", f"dags/{name}")
    assert (said.status, said.out) == (2, "")
    assert words in said.err
    assert tree(folder) == before


def test_an_empty_folder_is_a_usage_error(pgdurable: Pgdurable, folder: Path) -> None:
    before = tree(folder)
    said = pgdurable("import", "airflow", "dags")
    assert (said.status, said.out) == (2, "")
    assert "no Python file that could hold a DAG was found" in said.err
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("g.json", '{"pgdurable_graph": 1, "name": "g", "steps": []}', "g.json is no report of pgdurable"),
        ("r.json", '{"pgdurable_report": 2}', "r.json is of version 2, and this pgdurable reads version 1"),
        ("t.json", '{"pgdurable_report": ', "t.json is no JSON"),
    ],
)
def test_a_report_that_cannot_be_read_is_a_usage_error(
    pgdurable: Pgdurable, folder: Path, name: str, text: str, words: str
) -> None:
    (folder / name).write_text(text)
    said = pgdurable("report", name)
    assert (said.status, said.out) == (2, "")
    assert words in said.err


def test_a_graph_from_a_newer_version_is_refused_by_name_and_nothing_is_deployed(
    pgdurable: Pgdurable, folder: Path, database: Database
) -> None:
    (folder / "g.sql").write_text(
        """select df.create_workflow('g', graph => '{"pgdurable_graph": 2, "name": "g", "steps": [{"key": "a"}]}');"""
    )
    said = pgdurable("deploy", "g.sql", "--dsn", database.dsn, "--yes")
    assert said.status == 1
    assert "g.sql" in said.err
    assert "this engine reads graph documents of version 1, not 2" in said.err
    assert database.execute("select count(*) from df.workflows") == [(0,)]


def test_a_file_that_a_person_edited_is_kept_and_both_sides_are_shown(pgdurable: Pgdurable, folder: Path) -> None:
    dag = folder / "dags" / "x.py"
    dag.write_text(QUERY + "with DAG('x'):\n    Q(task_id='a', conn_id='w', sql='select 1')\n")
    assert pgdurable("import", "airflow", "dags/x.py").status == 0
    file = folder / "workflows" / "x.sql"
    file.write_text(file.read_text().replace("select 1", "select 1 -- mine"))
    same = pgdurable("import", "airflow", "dags/x.py")
    assert (same.status, "4 unchanged" in same.err) == (0, True)
    dag.write_text(dag.read_text().replace("select 1", "select 2"))
    before = tree(folder / "workflows")
    said = pgdurable("import", "airflow", "dags/x.py", "--format", "json")
    assert said.status == 1
    assert "workflows/x.sql was edited and its source changed; nothing of it was written" in said.err
    assert "select 1 -- mine" in said.err
    assert "select 2" in said.err
    after = tree(folder / "workflows")
    assert {name for name in before if before[name] != after[name]} == {"report.md", "report.json"}
    assert before.keys() == after.keys()


def test_a_place_where_nothing_can_be_written_is_named(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(EMPTY + "with DAG('x'):\n    E(task_id='a')\n")
    before = tree(folder)
    said = pgdurable("import", "airflow", "dags/x.py", "--out", "pgdurable.toml/here")
    assert said.status == 2
    assert "pgdurable.toml/here cannot be written: Not a directory" in said.err
    assert tree(folder) == before


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 128 KiB on a folder, where this machine lets us."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_runs_full_changes_no_file_and_leaves_no_part_of_one(pgdurable: Pgdurable, folder: Path) -> None:
    if not Path("/proc/mounts").exists():
        pytest.skip("file systems are mounted another way here")
    dag = folder / "dags" / "x.py"
    small = QUERY + "with DAG('x'):\n    Q(task_id='a', conn_id='w', sql='select 1')\n"
    with small_disk(folder / "out"):
        dag.write_text(small)
        assert pgdurable("import", "airflow", "dags/x.py", "--out", "out").status == 0
        before = tree(folder / "out")
        dag.write_text(small.replace("select 1", "select " + "x" * 100_000))
        said = pgdurable("import", "airflow", "dags/x.py", "--out", "out")
        assert said.status == 2
        assert "cannot be written: No space left on device" in said.err
        assert "Nothing was changed. Another folder: --out." in said.err
        assert tree(folder / "out") == before


class Interrupted:
    """A command that is interrupted when something can be seen, and what it was like afterwards."""

    def __init__(self, pgdurable: Pgdurable, *arguments: str | Path) -> None:
        self.process = pgdurable.start(*arguments)

    def when(self, is_there: Callable[[], bool], timeout: float = 60) -> str:
        """Press Ctrl-C once `is_there`, and return what was said on stderr; the exit status must be 130."""
        deadline = time.monotonic() + timeout
        while not is_there():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, self.process.kill()
            time.sleep(0.005)
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        assert (self.process.returncode, "Traceback" in err) == (130, False), err
        return err


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_while_reading_writes_nothing_and_ends_the_file(
    pgdurable: Pgdurable, folder: Path, tmp_path: Path
) -> None:
    mark = folder / "mark"
    (folder / "dags" / "x.py").write_text(
        DAG + f"import os, time\nfrom pathlib import Path\nPath({str(mark)!r}).write_text(f'{{os.getpid()}} ')\n"
        "time.sleep(50)\n"
    )
    before = tree(folder)
    Interrupted(pgdurable, "import", "airflow", "dags/x.py").when(
        lambda: mark.exists() and mark.read_text().endswith(" ")
    )
    deadline = time.monotonic() + 10
    while is_alive(int(mark.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tree(folder) == {**before, "mark": mark.read_bytes()}


def test_ctrl_c_while_writing_leaves_no_file_and_no_part_of_one(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(
        QUERY + "for number in range(150):\n    with DAG(f'd{number}'):\n"
        "        Q(task_id='a', conn_id='w', sql='select ' + repr('x' * 200_000))\n"
    )
    before = tree(folder)
    out = folder / "workflows"
    Interrupted(pgdurable, "import", "airflow", "dags/x.py").when(lambda: any(out.glob(".pgdurable-*/1?")))
    assert tree(folder) == before


@pytest.fixture
def seeding(folder: Path) -> Path:
    """A DAG and a fixture that takes its time."""
    (folder / "dags" / "x.py").write_text(
        QUERY + "with DAG('x', schedule=None):\n    Q(task_id='a', conn_id='w', sql='select 1')\n"
    )
    (folder / "seed.sql").write_text("create table half_seeded (x int);\nselect pg_sleep(30);\n")
    (folder / "pgdurable.toml").write_text('[environments.embedded]\nfixture = "seed.sql"\n')
    return folder


def test_ctrl_c_while_seeding_seeds_nothing_and_deploys_nothing(pgdurable: Pgdurable, seeding: Path) -> None:
    def ask(query: str) -> str:
        return pgdurable("db", "psql", "--", "-XAtc", query).out.strip()

    assert pgdurable("init").status == 0
    asleep = "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()"
    Interrupted(pgdurable, "import", "airflow", "dags/x.py", "--run").when(lambda: ask(asleep) == "1")
    deadline = time.monotonic() + 40
    while ask(asleep) != "0":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert ask("select to_regclass('half_seeded') is null") == "t"
    assert ask("select count(*) from df.workflows where name = 'x'") == "0"
    (seeding / "seed.sql").write_text("create table if not exists whole (x int);\n")
    assert pgdurable("import", "airflow", "dags/x.py", "--run").status == 0


def test_ctrl_c_while_deploying_deploys_nothing(pgdurable: Pgdurable, seeding: Path, database: Database) -> None:
    waiting = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'pgdurable%'"
    )
    dsn = database.dsn.replace("'", "")
    names = f'[environments.dev]\ndsn = "{dsn}"\n[environments.dev.connections]\nw = "here"\n'
    (seeding / "pgdurable.toml").write_text(names)
    arguments = ("import", "airflow", "dags/x.py", "--run", "--env", "dev", "--yes")
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table df._workflows")
        Interrupted(pgdurable, *arguments).when(
            lambda: database.execute(waiting, role=database.server.superuser) == [(1,)]
        )
        holder.rollback()
    assert database.execute("select count(*) from df.workflows") == [(0,)]
    assert database.execute("select count(*) from df.instances") == [(0,)]
    assert pgdurable(*arguments).status == 0


def test_gates_decide_about_the_exit_status_and_are_explained(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(
        EMPTY + "with DAG('x'):\n    E(task_id='a') >> E(task_id='b') >> E(task_id='c', pool='p')\n"
    )
    assert pgdurable("import", "airflow", "dags").status == 1
    assert pgdurable("import", "airflow", "dags", "--fail-under", "66").status == 0
    under = pgdurable("import", "airflow", "dags", "--fail-under", "67")
    assert (under.status, "2 of 3 tasks have a home, which is less than 67 % (--fail-under)" in under.err) == (1, True)
    both = pgdurable("import", "airflow", "dags", "--fail-under", "66", "--fail-on", "blocked")
    assert (both.status, "blocked (--fail-on blocked): x" in both.err) == (1, True)
    assert (folder / "workflows" / "x.sql.draft").exists(), "the gates decide about the answer, not about the files"
    assert pgdurable("import", "airflow", "dags", "--fail-under", "101").status == 2
    (folder / "dags" / "x.py").write_text(
        EMPTY + "with DAG('x', dagrun_timeout=__import__('datetime').timedelta(1)):\n    E(task_id='a')\n"
    )
    assert pgdurable("import", "airflow", "dags").status == 0
    review = pgdurable("import", "airflow", "dags", "--fail-on", "review", "--run")
    assert (review.status, "to decide (--fail-on review): x" in review.err) == (1, True)
    assert "nothing was run" in review.err
    told = " ".join(pgdurable("import", "airflow", "--help").out.split())
    assert "--fail-under 80 wants a home for 80 % of all tasks" in told


def test_a_saved_report_is_what_was_printed_and_renders_again(pgdurable: Pgdurable, folder: Path) -> None:
    (folder / "dags" / "x.py").write_text(EMPTY + "with DAG('für'):\n    E(task_id='a', doc='ü') >> E(task_id='b')\n")
    said = pgdurable("import", "airflow", "dags/x.py", "--format", "json")
    saved = folder / "workflows" / "report.json"
    assert (said.status, said.out) == (0, saved.read_text(encoding="utf-8"))
    assert pgdurable("report", saved, "--format", "json").out == said.out
    markdown = pgdurable("report", saved, "--format", "markdown", LC_ALL="C", PYTHONUTF8="0").out
    assert markdown == (folder / "workflows" / "report.md").read_text(encoding="utf-8")
    text = pgdurable("report", saved)
    assert (text.status, "2 of 2 tasks have a home" in text.out) == (0, True)
    printed = pgdurable("import", "airflow", "dags/x.py").out.splitlines()
    assert text.out.splitlines()[1:] == printed[1:]
