"""The failure matrix names its tests, and they are there; and no fault is tried that it does not tell of."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text()
NAMED = set(re.findall(r"`(test_\w+)`", PAGE))
CELLS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## What is not covered")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


def names_below(folder):
    """The names of the tests below it."""
    sources = (path.read_text() for path in folder.rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE)}


def test_every_line_of_the_matrix_names_its_test():
    """In its last cell."""
    assert len(CELLS) > 30
    assert [] == [cells for cells in CELLS if cells[0] and "`test_" not in cells[-1]]


def test_every_test_that_the_matrix_names_is_there():
    """A renamed test takes its line along."""
    assert set() == NAMED - names_below(ROOT / "tests")


def test_every_fault_that_is_tried_is_in_the_matrix():
    """The tests of tests/faults, all of them."""
    assert set() == names_below(ROOT / "tests" / "faults") - NAMED
