"""`dispatch test`: cases run, and the policy that they cover."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dispatch.cli import main
from dispatch.policy import READY, ready

POLICIES = Path(ready("default")).parent
POLICY = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery}
defaults: {durability: ephemeral}
rules:
  - {name: kept, match: {durability: durable}, route_to: queue}
otherwise: {route_to: fast, fallback: [queue]}
"""
CASES = """\
version: 1
cases:
  - name: It starts here.
    expect: {destination: fast}
  - name: It is kept.
    call: {durability: durable}
    expect: {destination: queue, rule: kept}
"""


@pytest.fixture(autouse=True)
def shop(tmp_path):
    (tmp_path / "shop.yaml").write_text(POLICY)
    (tmp_path / "shop_test.yaml").write_text(CASES)
    return tmp_path


def test(*arguments):
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


test.__test__ = False


def test_the_ready_policies_are_covered_whole():
    """Each rule has chosen, and each candidate has had a call."""
    asked = test(POLICIES, "--fail-under", "100")

    assert 0 == asked.exit_code, asked.output
    assert len(READY) == asked.stdout.count(": 100 % covered")


def test_cases_that_pass_are_counted_beside_what_they_cover():
    """Rules in order: how often asked, how often they chose, and whom."""
    asked = test("shop_test.yaml")

    assert (0, "") == (asked.exit_code, asked.stderr)
    assert [
        "shop.yaml: 80.0 % covered",
        "  rule       asked  matched  chosen",
        "  kept       2      1        queue 1",
        "  otherwise  1      1        fast 1, queue 0",
        "2 cases: all passed",
    ] == asked.stdout.splitlines()


def test_a_case_that_fails_says_where_it_stands_what_was_expected_and_why_it_went_elsewhere(shop):
    """With the explanation of the call; exit status 1."""
    (shop / "shop_test.yaml").write_text(CASES.replace("destination: queue", "destination: fast"))
    asked = test("shop_test.yaml")

    assert 1 == asked.exit_code
    assert [
        "shop_test.yaml:5:5: failed: It is kept.",
        "    expected fast, got queue",
        "    example.task: durable, latency budget none, payload not asked",
        "    rules",
        "      ✓ kept: durability is durable",
        "    candidates",
        "      → queue (celery) gets the call",
        "    decision",
        "      <Decision queue | kept>",
    ] == asked.stdout.splitlines()[:9]
    assert "2 cases: 1 failed" == asked.stdout.splitlines()[-1]


@pytest.mark.parametrize(("percent", "status"), [("80", 0), ("80.1", 1), ("100", 1), ("0", 0)])
def test_too_little_coverage_is_a_failure_where_it_is_asked_for(percent, status):
    """The line says how much is."""
    asked = test("shop_test.yaml", "--fail-under", percent)

    assert status == asked.exit_code
    assert bool(status) == (f"covered, and {percent} % are asked for" in asked.stdout)


@pytest.mark.parametrize(
    "path", ["shop.yaml", "shop_test.yaml", ".", "{tmp_path}", "shop_test.yaml shop.yaml . {tmp_path}"]
)
def test_a_policy_its_cases_and_their_folder_lead_to_the_same_cases(path, tmp_path):
    """Each file is run once, however often it is named."""
    asked = test(*path.format(tmp_path=tmp_path).split())

    assert (0, "2 cases: all passed") == (asked.exit_code, asked.stdout.splitlines()[-1])


def test_a_ready_policy_is_tested_by_its_name():
    """The cases come with it."""
    assert test("default").stdout.startswith(f"{ready('default')}: 100 % covered\n")


def test_several_files_of_cases_cover_one_policy_together(shop):
    """What one does not see, another may."""
    (shop / "more_test.yaml").write_text(
        "version: 1\npolicy: shop.yaml\ncases:\n"
        "  - {name: full, given: {fast: full}, expect: {destination: queue, passed_over: {fast: full}}}\n"
    )
    asked = test(".", "--fail-under", "100")

    assert (0, 1) == (asked.exit_code, asked.stdout.count("covered"))
    assert "3 cases: all passed" == asked.stdout.splitlines()[-1]


def test_the_report_as_json(shop):
    """Each case with what became of it; coverage by rule and candidate."""
    (shop / "shop_test.yaml").write_text(CASES.replace("destination: queue", "destination: fast"))
    asked = test("shop.yaml", "--json")
    told = json.loads(asked.stdout)

    assert (1, False) == (asked.exit_code, told["ok"])
    [file] = told["files"]
    assert ("shop_test.yaml", ["shop.yaml"], [True, False]) == (
        file["file"],
        file["policy"],
        [each["passed"] for each in file["cases"]],
    )
    assert {
        "name": "It is kept.",
        "line": 5,
        "passed": False,
        "differences": ["expected fast, got queue"],
        "rule": "kept",
        "destination": "queue",
        "error": None,
        "passed_over": {},
    } == file["cases"][1]
    [covered] = told["coverage"]
    assert (80.0, file["version"]) == (covered["percent"], covered["version"])
    assert {
        "rule": "kept",
        "asked": 2,
        "matched": 1,
        "candidates": [{"destination": "queue", "chosen": 1, "never": False}],
    } == covered["rules"][0]


def test_mistakes_in_any_of_the_files_end_it_with_all_of_them(shop):
    """Status 2, each with its place and its cure; no case is run."""
    (shop / "shop_test.yaml").write_text(CASES.replace("destination: fast", "destination: fats"))
    (shop / "other_test.yaml").write_text("version: 1\n")
    asked = test(".")

    assert (2, "") == (asked.exit_code, asked.stdout)
    assert "shop_test.yaml:4:27: unknown-destination: there is no destination 'fats'" in asked.stderr
    assert "Did you mean `fast`?" in asked.stderr
    assert "other_test.yaml:1:1: missing-key: `cases` is missing" in asked.stderr


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("empty", "there is no *_test.yaml in empty"),
        ("alone.yaml", "there are no cases for alone.yaml: they would be in alone_test.yaml"),
        ("nowhere_test.yaml", "nowhere_test.yaml:1:1: unreadable: it cannot be read: No such file or directory"),
    ],
)
def test_where_there_are_no_cases_it_is_said_where_they_would_be(shop, path, says):
    """Status 2: a run that tried nothing has not passed."""
    (shop / "empty").mkdir()
    (shop / "alone.yaml").write_text(POLICY)
    asked = test(path)

    assert (2, True) == (asked.exit_code, says in asked.stderr)


def test_nothing_in_a_case_steers_the_terminal(shop):
    """It may come from a stranger."""
    (shop / "shop_test.yaml").write_text(CASES.replace("It is kept.", '"\\u009b31m"'))
    asked = test("shop_test.yaml")

    assert 2 == asked.exit_code
    assert not {"\x1b", "\x9b"} & set(asked.output)
