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
otherwise: {route_to: fast, fallback: [queue]}
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
        "  otherwise                                                                  → fast, then queue",
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


SHOP = """\
import dispatch

@dispatch.task
def thumbnail(image: bytes) -> None: ...

@dispatch.task(durability="durable", kind="cpu")
def fit(rows: list) -> None: ...

@dispatch.task(durability="ephemeral")
def greet(name: str) -> None: ...
"""
OF_SHOP = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery}
defaults: {durability: ephemeral}
tasks:
  "%(module)s.thumbnial": {latency_budget: 1s}
rules:
  - {name: cpu, match: {kind: cpu, not: {task: "lost.*"}}, route_to: fast}
otherwise: {route_to: queue}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module of tasks that is known to this test alone, and a policy for it."""
    module = f"shop_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(SHOP)
    (tmp_path / "shop.yaml").write_text(OF_SHOP % {"module": module})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("dispatch._registry.registry._specs", {})
    return module


def test_an_app_shows_idle_patterns_tasks_that_never_chose_and_tasks_that_nothing_carries(shop):
    """Each at its place, in the policy or in the code; status 1."""
    asked = check("shop.yaml", "--app", shop, "--format", "line")

    assert [
        f"shop.yaml:7:3: pattern-without-task no task has a name like '{shop}.thumbnial'",
        "shop.yaml:9:48: pattern-without-task no task has a name like 'lost.*'",
        f"{shop}.py:6:1: not-carried",
        f"{shop}.py:3:1: no-durability",
    ] == [line if "pattern-without" in line else " ".join(line.split()[:2]) for line in asked.stdout.splitlines()]
    assert 1 == asked.exit_code


def test_findings_as_json_and_as_a_table(shop):
    """With the text and the cure; the policy itself is fine, and is told."""
    told = json.loads(check("shop.yaml", "--app", shop, "--json").stdout)
    table = check("shop.yaml", "--app", shop)

    assert (False, [], 4) == (told["ok"], told["problems"], len(told["findings"]))
    assert f"Did you mean `{shop}.thumbnail`?" in told["findings"][0]["cure"]
    assert "@dispatch.task" == told["findings"][3]["text"]
    assert (1, "3 tasks, 4 findings") == (table.exit_code, table.stdout.splitlines()[-1])


def test_findings_that_do_not_matter_are_ignored_by_their_code(shop):
    """With none left the status is 0."""
    codes = ("pattern-without-task", "no-durability", "not-carried")
    asked = check("shop.yaml", "--app", shop, *(word for code in codes for word in ("--ignore", code)))

    assert (0, "3 tasks, nothing found") == (asked.exit_code, asked.stdout.splitlines()[-1])


OVER = "version: 1\ndestinations: {fast: {workers: 32}}\n"


def test_the_whole_policy_is_shown_with_the_place_of_each_value(good, tmp_path):
    """What an overlay says is the overlay's, and a default is called one."""
    (tmp_path / "over.yaml").write_text(OVER)
    asked = check(good, "over.yaml", "--show")

    assert (0, "") == (asked.exit_code, asked.stderr)
    shown = [" ".join(line.split()) for line in asked.stdout.splitlines()]
    assert "workers: 32 # over.yaml:2" == shown[4]
    assert "block_timeout: 250ms # good.yaml:3" == shown[5]
    assert "capacity: 10000 # (default)" in shown
    assert "# queue: the Celery app's own" in shown
    assert [
        "- name: first # good.yaml:9",
        'match: {any: [{kind: cpu}, {not: {payload: "> 1MiB"}}], task: ["a.*", "b.*"]} # good.yaml:10',
        "route_to: queue # good.yaml:11",
        "fallback: [fast] # good.yaml:12",
        "on_infeasible: rank # (default)",
    ] == shown[-9:-4]


def test_what_is_shown_is_a_policy(good, tmp_path):
    """It may be kept, and says of itself what it was told."""
    (tmp_path / "whole.yaml").write_text(check(good, "--show").stdout)

    assert 0 == check("whole.yaml").exit_code
    assert check("whole.yaml", "--show").stdout.count("(default)") == 0


def test_the_origins_as_json(good, tmp_path):
    """Beside what `--json` says anyway; no place means that nobody said it."""
    (tmp_path / "over.yaml").write_text(OVER)
    told = json.loads(check(good, "over.yaml", "--show", "--json").stdout)
    origins = {tuple(each["path"]): each for each in told["origins"]}

    workers = origins["destinations", "fast", "workers"]
    assert ("32", "over.yaml", 2, 23) == tuple(workers[key] for key in ("value", "file", "line", "column"))
    assert None is origins["destinations", "fast", "capacity"]["file"]
    assert 32 == told["policy"]["destinations"]["fast"]["workers"]
    assert "origins" not in json.loads(check(good, "--json").stdout)


def test_the_policy_in_force_can_be_shown(good):
    """With no name, as without --show."""
    assert "all-celery:" in check("--show", DISPATCH_POLICY="all-celery").stdout


def test_mistakes_are_told_where_the_policy_was_to_be_shown(bad):
    """As ever."""
    assert check(bad).output == check(bad, "--show").output


def test_a_policy_is_shown_in_one_way(good):
    """Lines for editors are about mistakes."""
    assert 2 == check(good, "--show", "--format", "line").exit_code
