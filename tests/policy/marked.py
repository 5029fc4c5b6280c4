"""Policies with one offending piece of text between « and »."""

from __future__ import annotations

import pytest

from dispatch.errors import PolicyError, Problem
from dispatch.policy import parse


def problems_of(text: str, name: str = "shop.yaml") -> tuple[Problem, ...]:
    """Every mistake that is found in `text`."""
    with pytest.raises(PolicyError) as caught:
        parse(text, name)
    return caught.value.problems


def the_problem(marked: str) -> tuple[Problem, tuple[int, int]]:
    """The only mistake in a marked text, and the line and column at which it is expected."""
    before = marked[: marked.index("«")]
    place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    problems = problems_of(marked.replace("«", "").replace("»", ""))
    assert len(problems) == 1, "\n".join(map(str, problems))
    return problems[0], place


def offending(marked: str) -> str:
    return marked[marked.index("«") + 1 : marked.index("»")]
