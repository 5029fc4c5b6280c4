"""Policies from files, from their names, and one over another."""

from __future__ import annotations

import pytest

from dispatch.errors import PolicyError
from dispatch.policy import READY, load, parse, ready

BASE = """\
version: 1
destinations:
  fast: {transport: local, workers: 2, capacity: 5}
  queue: {transport: celery}
defaults: {durability: ephemeral}
tasks:
  "shop.*": {latency_budget: 5s}
rules:
  - {name: first, match: {durability: durable}, route_to: queue}
otherwise: {route_to: fast, fallback: [queue]}
"""


@pytest.fixture
def files(tmp_path):
    """Write files; returns their paths in the order given."""

    def write(**texts: str) -> list[str]:
        paths = []
        for name, text in texts.items():
            path = tmp_path / f"{name}.yaml"
            path.write_text(text)
            paths.append(str(path))
        return paths

    return write


def the_problem(sources):
    with pytest.raises(PolicyError) as caught:
        load(sources)
    (problem,) = caught.value.problems
    return problem


def test_a_policy_is_loaded_by_path_by_name_or_from_text(files):
    """One source may stand alone; the version is the same wherever the text comes from."""
    (path,) = files(base=BASE)

    assert load([path]).version == load(path).version == parse(BASE).version
    assert load("default").version == load([ready("default")]).version == load([str(ready("default"))]).version
    assert (path,) == load(path).sources


def test_a_byte_order_mark_and_dos_line_ends_do_no_harm(tmp_path):
    """Editors on other systems write them."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())

    assert parse(BASE).version == load(path).version


def test_a_name_that_is_neither_ready_nor_a_file_says_what_there_is(tmp_path):
    """With the ready policies, and the one that was probably meant."""
    problem = the_problem("defualt")

    assert ("defualt", "not-found") == (problem.file, problem.code)
    assert "Did you mean `default`?" in problem.cure
    assert all(name in problem.cure for name in READY)
    assert "not-found" == the_problem(tmp_path / "default").code
    assert "not-found" == the_problem([]).code


@pytest.mark.parametrize("source", ["\0", "."])
def test_what_cannot_be_read_is_a_policy_error_too(source):
    """A directory, a path that no system knows."""
    assert "unreadable" == the_problem(source).code


def test_bytes_that_are_not_utf_8_are_shown_where_they_stand(tmp_path):
    """Line and column as an editor counts them."""
    path = tmp_path / "latin.yaml"
    path.write_bytes("version: 1\n# für\nname: ".encode() + b"\xff\n")
    problem = the_problem(path)

    assert ("not-utf-8", 3, 7, r"\xff") == (problem.code, problem.line, problem.column, problem.text)


def test_an_overlay_changes_destinations_defaults_and_tasks_key_by_key(files):
    """What it does not mention stays; what is new comes along."""
    over = """\
    version: 1
    destinations:
      fast: {workers: 9}
      extra: {transport: local, reached_by: pins}
    defaults: {durability: durable}
    tasks:
      "shop.*": {durability: durable}
      "shop.quick": {latency_budget: 1ms}
    """
    policy = load(files(base=BASE, over=over))
    fast = policy.destinations["fast"]

    assert (9, 5) == (fast.workers, fast.capacity)
    assert ["fast", "queue", "extra"] == list(policy.destinations)
    assert "durable" == policy.defaults.durability
    assert ("durable", 5 * 10**9) == (policy.tasks["shop.*"].durability, policy.tasks["shop.*"].latency_budget_ns)
    assert 2 == len(policy.sources)
    assert policy.version != parse(BASE).version


def test_a_pattern_that_an_overlay_adds_is_asked_before_the_others(files):
    """For all but durability the first match counts, and an overlay is written to count."""
    over = 'version: 1\ntasks: {"shop.quick": {latency_budget: 1ms}}\n'

    assert ["shop.quick", "shop.*"] == list(load(files(base=BASE, over=over)).tasks)


def test_an_overlay_may_not_touch_the_rules(files):
    """Neither the rules nor what happens otherwise; the message names the file that tried."""
    base, over = files(base=BASE, over="version: 1\nrules: []\notherwise: {route_to: queue}\n")
    with pytest.raises(PolicyError) as caught:
        load([base, over])

    assert [(over, 2, "overlay-rules"), (over, 3, "overlay-rules")] == [
        (each.file, each.line, each.code) for each in caught.value.problems
    ]


def test_mistakes_are_found_in_every_file_and_each_is_told_once(files):
    """Also one that a later file covers: it is a mistake all the same."""
    base, over = files(
        base=BASE.replace("workers: 2", "workers: none"),
        over="destinations: {fast: {workers: 3, wrkers: 4}, queue: 5}\n",
    )
    with pytest.raises(PolicyError) as caught:
        load([base, over, "nowhere.yaml"])

    assert [
        ("nowhere.yaml", 1, "not-found"),
        (base, 3, "bad-count"),
        (over, 1, "missing-key"),
        (over, 1, "unknown-key"),
        (over, 1, "wrong-shape"),
    ] == [(each.file, each.line, each.code) for each in caught.value.problems]
