"""Reading YAML: files that are not a policy at all, and scalars that mean only what they say."""

from __future__ import annotations

import pytest

from dispatch.policy import parse
from policy.marked import problems_of


@pytest.mark.parametrize(
    ("text", "line", "column", "code"),
    [
        ("", 1, 1, "empty-file"),
        ("# only a comment\n", 1, 1, "empty-file"),
        ("---\n", 1, 1, "empty-file"),
        ("- version: 1\n", 1, 1, "wrong-shape"),
        ("version 1\n", 1, 1, "wrong-shape"),
        ("version: 1\na: b: c\n", 2, 5, "syntax"),
        ("version: 1\n\tdestinations: {}\n", 2, 1, "syntax"),
        ("version: '1\n", 2, 1, "syntax"),
        ("version: [1\n", 2, 1, "syntax"),
        ('version: "\\UFFFFFFFF"\n', 1, 8, "syntax"),
        ("%YAML 1" + "9" * 5000 + "\n---\nversion: 1\n", 1, 1, "syntax"),
        ("version: 1\nname: \x07\n", 2, 7, "bad-character"),
        ("version: " + "[" * 50 + "]" * 50, 1, 50, "too-deep"),
    ],
)
def test_what_is_no_policy_at_all_is_one_clear_problem(text, line, column, code):
    """The parser's own words about a place; nothing is guessed after it."""
    (problem,) = problems_of(text)

    assert (line, column, code) == (problem.line, problem.column, problem.code)


def test_a_second_document_is_an_error():
    """It would be ignored, and whoever wrote it would not know."""
    problems = problems_of("version: 1\n---\nversion: 1\n")

    assert ("several-documents", 2) in [(each.code, each.line) for each in problems]


def test_scalars_mean_nothing_special():
    """`on`, `0x10`, `1:30`, `~` and dates are text, and the key decides what text it takes."""
    policy = parse(
        """
        version: "1"
        destinations: {on: {transport: celery, queue: 0x10}, null: {transport: celery, queue: 1:30}}
        defaults: {durability: "ephemeral"}
        tasks: {~: {durability: durable}, 2024-01-01: {durability: durable}}
        otherwise: {route_to: on, fallback: [null]}
        """
    )

    assert {"on": "0x10", "null": "1:30"} == {name: settings.queue for name, settings in policy.destinations.items()}
    assert ["~", "2024-01-01"] == list(policy.tasks)


def test_block_and_flow_style_and_comments_say_the_same():
    """The version of a policy is what it says, not how it is laid out."""
    block = """
    # with a comment
    version: 1
    destinations:
      fast:
        transport: local
        workers: "3"
    defaults:
      durability: ephemeral
    otherwise:
      route_to: fast
    """
    flow = (
        "{version: 1, destinations: {fast: {transport: local, workers: 3}}, "
        "defaults: {durability: ephemeral}, otherwise: {route_to: fast}}"
    )

    assert parse(block).version == parse(flow).version
    assert parse(block).version != parse(flow.replace("3", "4")).version
    assert 12 == len(parse(flow).version)
