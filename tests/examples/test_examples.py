"""Every example runs, prints what it says it prints, and changes none of its own files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from example_runs import EXAMPLES, Example

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/run.sh"))


def test_every_example_can_be_run_and_says_what_it_prints() -> None:
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert folders == NAMES
    assert NAMES != []
    assert [name for name in NAMES if not (EXAMPLES / name / "expected.txt").is_file()] == []
    assert [name for name in NAMES if not (EXAMPLES / name / "README.md").is_file()] == []


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_an_example_prints_what_it_says_and_writes_what_is_there(example: Example) -> None:
    before = files_of(example.folder)
    printed = in_one_order(example.run())
    expected = in_one_order((EXAMPLES / example.folder.name / "expected.txt").read_text())
    assert len(printed) == len(expected), "\n".join(printed)
    assert [(line, wanted) for line, wanted in zip(printed, expected, strict=True) if not fits(line, wanted)] == []
    assert files_of(example.folder) == before


def in_one_order(text: str) -> list[str]:
    """Return lines with the steps of a run sorted, since those that do not wait for each other end in any order.

    Columns shift with the times in them, so one blank stands for many.
    """
    steps = [place for place, line in enumerate(text.splitlines()) if re.match(r"  (ok|skipped|failed) ", line)]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for place, line in zip(steps, sorted(lines[place] for place in steps), strict=True):
        lines[place] = line
    return lines


def fits(line: str, wanted: str) -> bool:
    """Compare with a line in which `...` stands for what differs from run to run: ids, times, the next date."""
    return re.fullmatch(".*".join(re.escape(part) for part in wanted.split("...")), line) is not None


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
