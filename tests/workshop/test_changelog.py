"""News is kept in fragments, so that two changes never quarrel about one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_fragments_make_a_changelog():
    """towncrier takes every file of changelog.d, and each stands in the draft, whole."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next", "--date", "2000-01-01"]
    draft = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    fragments = [path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]

    words = " ".join(draft.split())
    assert [] == [path.name for path in fragments if " ".join(path.read_text().split()) not in words]
