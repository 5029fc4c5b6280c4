"""`dispatch check`: every mistake at once, or what the policy says."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dispatch.cli import main
from dispatch.policy import READY

POLICY = """\
version: 1
destinations:
  fast: {transport: local, workers: 3, block_timeout: 250ms}
  queue: {transport: celery, max_payload: 1MiB}
defaults: {durability: ephemeral}
tasks:
  "billing.*": {durability: durable, latency_budget: 5s}
rules:
  - name: first
    match: {any: [{kind: cpu}, {not: {payload: "> 1MiB"}}], task: ["a.*", "b.*"]}
    route_to: queue
    fallback: [fast]
otherwise: {route_to: fast}
"""

BAD = POLICY.replace("workers", "workres").replace("kind: cpu", "kind: gpu").replace("route_to: queue", "route_to: qu")


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """The tester's taste in colour is not asked."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def good(tmp_path):
    (tmp_path / "good.yaml").write_text(POLICY)
    return "good.yaml"


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    return "bad.yaml"


def check(*arguments, **environment):
    return CliRunner().invoke(main, ["check", *arguments], env=environment)


def test_every_mistake_is_told_with_its_place_its_text_and_its_cure(bad):
    """All of them at once, in the order of the file, on the stream of the answer; status 2."""
    asked = check(bad)

    assert (2, "") == (asked.exit_code, asked.stderr)
    lines = asked.stdout.splitlines()
    assert "bad.yaml:3:28: unknown-key: 'workres' is no key of `fast`" == lines[0]
    assert "    workres" == lines[1]
    assert lines[2].startswith("    Did you mean `workers`? It takes: ")
    assert ["bad.yaml:10:26: bad-value", "bad.yaml:11:15: unknown-destination"] == [
        ":".join(line.split(":")[:4]) for line in (lines[3], lines[6])
    ]
    assert "3 mistakes" == lines[-1]


def test_for_editors_each_mistake_is_one_line_and_nothing_else_is_said(bad, good):
    """`file:line:col: code message`, which vim, Emacs and problem matchers read."""
    asked = check(bad, "--format", "line")

    assert 2 == asked.exit_code
    assert [
        "bad.yaml:3:28: unknown-key 'workres' is no key of `fast`",
        "bad.yaml:10:26: bad-value `kind` cannot be 'gpu'",
        "bad.yaml:11:15: unknown-destination there is no destination 'qu'",
    ] == asked.stdout.splitlines()
    assert (0, "") == ((fine := check(good, "--format", "line")).exit_code, fine.output)


def test_mistakes_as_json(bad):
    """Every field of every problem."""
    asked = check(bad, "--json")

    told = json.loads(asked.stdout)
    assert (2, False, None, 3) == (asked.exit_code, told["ok"], told["policy"], len(told["problems"]))
    assert {"file", "line", "column", "code", "text", "message", "cure"} == set(told["problems"][0])


def test_of_a_good_policy_it_says_what_it_read(good):
    """Destinations, defaults, tasks, and the rules in order, each with its match as it was written."""
    asked = check(good)

    assert 0 == asked.exit_code
    first, *rest = asked.stdout.splitlines()
    assert first.startswith("good.yaml is fine: 2 destinations, 1 rule, version ")
    assert [
        "destinations",
        "  fast   local, workers 3, block_timeout 250 ms",
        "  queue  celery, max_payload 1 MiB",
        "defaults and tasks",
        "  *          durability ephemeral",
        "  billing.*  durability durable, latency_budget 5 s",
        "rules",
        "  first      task: [a.*, b.*], any: [{kind: cpu}, {not: {payload: > 1MiB}}]  → queue, then fast",
        "  otherwise                                                                  → fast",
    ] == rest


def test_a_good_policy_as_json(good):
    """What the file says, in units that the keys name."""
    told = json.loads(check(good, "--json").stdout)

    assert (True, []) == (told["ok"], told["problems"])
    policy = told["policy"]
    assert {"transport": "local", "workers": 3, "block_timeout_ns": 250_000_000} == policy["destinations"]["fast"]
    assert {"durability": "durable", "latency_budget_ns": 5_000_000_000} == policy["tasks"]["billing.*"]
    assert [
        {
            "name": "first",
            "match": {"task": ["a.*", "b.*"], "any": [{"kind": "cpu"}, {"not": {"payload": "> 1MiB"}}]},
            "route_to": "queue",
            "fallback": ["fast"],
        }
    ] == policy["rules"]


@pytest.mark.parametrize("name", READY)
def test_the_ready_policies_are_fine_under_their_names(name):
    """They need no path."""
    asked = check(name)

    assert 0 == asked.exit_code
    assert asked.stdout.startswith(f"{name} (ready policy) is fine: ")


def test_several_files_are_one_policy(good, tmp_path):
    """The later is laid over the earlier, and its mistakes are its own."""
    (tmp_path / "prod.yaml").write_text("version: 1\ndestinations: {fast: {workers: 32}}\n")
    (tmp_path / "worse.yaml").write_text("version: 1\ndestinations: {fast: {workers: 0}}\n")

    asked = check(good, "prod.yaml")
    assert asked.stdout.startswith("good.yaml + prod.yaml is fine: ")
    assert "  fast   local, workers 32, block_timeout 250 ms" in asked.stdout.splitlines()
    assert ["worse.yaml:2:32: bad-count"] == [
        line.partition(" '")[0] for line in check(good, "worse.yaml", "--format", "line").stdout.splitlines()
    ]


@pytest.mark.parametrize(
    ("environment", "first", "why"),
    [
        ({}, "no-broker (ready policy)", "DISPATCH_POLICY is not set, and no broker is configured"),
        (
            {"DISPATCH_BROKER_URL": "redis://example.invalid"},
            "default (ready policy)",
            "DISPATCH_POLICY is not set, and a broker is configured",
        ),
        ({"DISPATCH_POLICY": "all-celery"}, "all-celery (ready policy)", "DISPATCH_POLICY names it"),
    ],
)
def test_without_a_name_the_policy_in_force_is_checked(environment, first, why):
    """And it is said why that one is in force."""
    asked = check(**environment)

    assert 0 == asked.exit_code
    lines = asked.stdout.splitlines()
    assert lines[0].startswith(f"{first} is fine: ")
    assert f"in force here: {why}" == lines[1]


@pytest.mark.parametrize("name", ["nowhere.yaml", ".", ""])
def test_what_cannot_be_read_is_a_mistake_like_any_other(name):
    """With a place, a cure and status 2."""
    asked = check(name)

    assert 2 == asked.exit_code
    assert f"{name}:1:1: " in asked.stdout
    assert "Give the path of a" in asked.stdout


def test_a_long_path_stays_whole(tmp_path):
    """Into a pipe goes one line as one line, whatever a terminal's width may be."""
    folder = tmp_path / ("long" * 40) / ("longer" * 30)
    folder.mkdir(parents=True)
    path = folder / "policy.yaml"
    path.write_text(BAD)

    assert f"{path}:3:28: unknown-key: 'workres' is no key of `fast`" == check(str(path)).stdout.splitlines()[0]
    path.write_text(POLICY)
    assert check(str(path)).stdout.startswith(f"{path} is fine: 2 destinations, 1 rule, version ")


def test_colour_is_for_terminals_and_for_those_who_want_it(bad):
    """None into a pipe, some on a terminal, and none again with NO_COLOR."""
    assert "\x1b" not in check(bad).stdout
    assert "\x1b[31munknown-key" in check(bad, FORCE_COLOR="1").stdout
    assert "\x1b[31m" not in check(bad, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_nothing_in_a_policy_steers_the_terminal(tmp_path):
    """A policy may come from a stranger."""
    (tmp_path / "odd.yaml").write_text(POLICY.replace("billing.*", "billing\\e[31m.*"))
    (tmp_path / "odder.yaml").write_text(POLICY.replace("kind: cpu", 'kind: "\\e[31m"'))

    assert "\x1b" not in check("odd.yaml").stdout
    assert "\x1b" not in check("odder.yaml").stdout
    assert "\x1b" not in check("odder.yaml", "--format", "line").stdout


def test_two_formats_at_once_are_a_wrong_argument(good):
    """Neither is dropped in silence."""
    assert 2 == check(good, "--json", "--format", "line").exit_code
