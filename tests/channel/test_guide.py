"""docs/channel.md, run."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "channel.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_guide_says_what_is_true(snippet):
    """Each program on the page runs, and what it asserts holds."""
    exec(compile(snippet, str(GUIDE), "exec"), {"__name__": "snippet"})


def test_the_guide_has_programs():
    """The page is found, and shows what it talks about."""
    assert len(SNIPPETS) >= 5
