"""`dispatch explain`: where a call would go, and why."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

import dispatch
from dispatch import _default
from dispatch.cli import main

SHOP = """
    import dispatch

    @dispatch.task
    def thumbnail(image, width=64): ...

    @dispatch.task(durability="durable", latency_budget="2s")
    def charge(order): ...

    @dispatch.task(only="celery")
    def report(): ...

    def helper(): ...

    class Till:
        @staticmethod
        @dispatch.task
        def close(): ...
"""

CURE = "set DISPATCH_BROKER_URL, or dispatch.configure(celery=app)"

ASSERTED = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery, durability: asserted}
defaults: {durability: ephemeral}
rules:
  - {name: must-survive, match: {durability: durable}, route_to: fast, fallback: [queue]}
otherwise: {route_to: fast}
"""


@pytest.fixture(autouse=True)
def _no_dispatcher_yet(monkeypatch):
    """The command is the first in its process to need one."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    yield
    dispatch.shutdown("1s")


@pytest.fixture
def shop(project):
    return project(SHOP).name


@pytest.fixture
def broker(monkeypatch, closed_port):
    """A broker is configured, and not there."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", f"redis://127.0.0.1:{closed_port}/0")


def explain(*arguments):
    return CliRunner().invoke(main, ["explain", *arguments])


def told(asked):
    assert asked.stderr == ""
    return json.loads(asked.stdout)


# What is told ---------------------------------------------------------------------------------------------------


def test_each_rule_and_each_candidate_is_told_and_why_it_was_not_the_one(shop):
    """In the order in which they are asked; no broker is needed for it."""
    asked = explain(f"{shop}:thumbnail", "--args", '["cat"]', "--kwargs", '{"width": 32}', "--policy", "default")

    assert (0, "") == (asked.exit_code, asked.stderr)
    policy, *lines = re.sub(r"\d+ B\b", "N B", re.sub(r"workers \d+", "workers N", asked.stdout)).splitlines()
    assert policy.startswith("policy default, version ")
    assert [
        f"{shop}.thumbnail: ephemeral, latency budget none, payload N B",
        "rules",
        "  ✗ must-survive: durability is ephemeral, not durable",
        "  ✗ needs-a-core: kind is io, not cpu",
        "  ✗ too-big-for-the-wire: payload N B is not > 1MiB",
        "  ✗ can-wait: latency_budget is not set, so not >= 1s",
        "  ✓ otherwise: no rule before it holds",
        "candidates",
        "  → fast (local) gets the call",
        "      now: waiting 0, capacity 10000, busy 0, workers N, service 1 ms",
        f"    queue (celery) not_configured: queue needs a broker: {CURE}",
        "decision",
        "  <Decision fast | otherwise>",
    ] == lines


def test_a_call_that_nothing_would_take_ends_with_status_1_and_names_the_error(shop):
    """A finding, not a mistake: the explanation is there all the same."""
    asked = explain(f"{shop}:charge", "--args", "[42]", "--policy", "default")

    assert (1, "") == (asked.exit_code, asked.stderr)
    assert "  none: the call would not be accepted" in asked.stdout.splitlines()
    assert "note: `delay` would raise NotConfigured" == asked.stdout.splitlines()[-1]


def test_json_has_the_whole_explanation_and_the_notes(shop):
    """The keys of `Explanation.to_dict`, and `notes`."""
    asked = explain(f"{shop}:charge", "--args", "[42]", "--policy", "default", "--json")

    document = told(asked)
    assert (1, f"{shop}.charge", None) == (asked.exit_code, document["task"], document["decision"])
    assert [("must-survive", True)] == [(rule["rule"], rule["matched"]) for rule in document["rules"]]
    assert "not_configured" == document["candidates"][0]["passed_over"]["why"]
    assert ["`delay` would raise NotConfigured"] == document["notes"]


def test_what_a_verified_broker_has_to_say_first_is_noted(shop, broker):
    """Nothing connects here, so it is not known yet; the note says so."""
    asked = explain(f"{shop}:charge", "--args", "[42]")

    assert 0 == asked.exit_code
    assert "  → queue (celery) gets the call" in asked.stdout
    assert "note: queue takes a durable call only from a broker that says it keeps what it accepts" in asked.stdout


def test_an_asserted_broker_needs_no_such_note(shop, broker, tmp_path):
    """The operator has spoken."""
    (tmp_path / "asserted.yaml").write_text(ASSERTED)

    asked = explain(f"{shop}:charge", "--args", "[42]", "--policy", "asserted.yaml")

    assert "    fast (local) not_durable: " in asked.stdout
    assert "<Decision queue | must-survive | not fast: not_durable>" in asked.stdout
    assert "note:" not in asked.stdout


# What is asked --------------------------------------------------------------------------------------------------


def test_options_ask_for_a_variant_of_the_task(shop):
    """As `task.options(…)` would make it."""
    budget = told(explain(f"{shop}:thumbnail", "--args", "[1]", "--latency-budget", "2s", "--json"))
    pinned = told(explain(f"{shop}:thumbnail", "--args", "[1]", "--only", "local", "--json"))
    durable = told(explain(f"{shop}:thumbnail", "--args", "[1]", "--durability", "durable", "--json"))

    assert 2_000_000_000 == budget["requirements"]["latency_budget_ns"]
    assert "pinned with only='local'" == pinned["requirements"]["pin"]
    assert ("durable", None) == (durable["requirements"]["durability"], durable["decision"])


def test_a_durability_that_is_weaker_than_the_task_s_is_noted(shop):
    """It changes nothing, and that is said."""
    asked = explain(f"{shop}:charge", "--args", "[42]", "--durability", "ephemeral")

    assert "note: --durability ephemeral does not weaken what the task or the policy asks for" in asked.stdout


def test_a_pin_that_nothing_obeys_is_a_finding(shop):
    """Status 1 and the sentence that `delay` would raise; in JSON there is no decision."""
    asked = explain(f"{shop}:report", "--json")

    assert 1 == asked.exit_code
    assert json.loads(asked.stdout)["decision"] is None
    assert f"Error: {shop}.report is pinned with only='celery'" in asked.stderr


def test_without_a_policy_the_one_that_the_module_set_up_is_asked(project):
    """`configure` in the module is in force, as it is in the application."""
    shop = project(
        """
        import dispatch
        dispatch.configure(policy="durability-first")

        @dispatch.task
        def charge(order): ...
        """
    ).name

    assert ["durability-first"] == told(explain(f"{shop}:charge", "--args", "[1]", "--json"))["policy"]["sources"]


def test_another_policy_is_asked_about_the_module_s_own_celery_app(project, closed_port):
    """What the module configured stays configured: only the rules are others."""
    shop = project(
        f"""
        import dispatch
        from celery import Celery

        app = Celery("shop", broker="redis://127.0.0.1:{closed_port}/0", set_as_current=False)
        dispatch.configure(policy="no-broker", celery=app)

        @dispatch.task
        def charge(order): ...
        """
    ).name

    document = told(explain(f"{shop}:charge", "--args", "[1]", "--policy", "all-celery", "--json"))
    assert (["all-celery"], "queue") == (document["policy"]["sources"], document["decision"]["destination"])


def test_another_policy_can_be_asked_while_the_one_in_force_has_mistakes(shop, monkeypatch):
    """That may be why one asks."""
    monkeypatch.setenv("DISPATCH_POLICY", "nowhere.yaml")

    assert 2 == explain(f"{shop}:thumbnail", "--args", "[1]").exit_code
    assert 0 == explain(f"{shop}:thumbnail", "--args", "[1]", "--policy", "default").exit_code


def test_a_policy_with_mistakes_ends_with_status_2_and_shows_them(shop, tmp_path):
    """On stderr, each with its place and its cure."""
    (tmp_path / "bad.yaml").write_text(ASSERTED.replace("route_to: fast,", "route_to: fats,"))

    asked = explain(f"{shop}:charge", "--args", "[1]", "--policy", "bad.yaml")

    assert (2, "") == (asked.exit_code, asked.stdout)
    assert "bad.yaml:7:66: unknown-destination: there is no destination 'fats'" in asked.stderr
    assert "Did you mean `fast`?" in asked.stderr


def test_a_task_in_a_class_has_a_path(shop):
    """Attribute by attribute."""
    assert f"{shop}.Till.close: ephemeral" in explain(f"{shop}:Till.close").stdout


# What is not understood -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{shop}x:charge", "there is no module '{shop}x'. Did you mean '{shop}'?"),
        ("{shop}.tasks:charge", "there is no module '{shop}.tasks'."),
        ("no.such:charge", "there is no module 'no', so no 'no.such'. It is looked for from the current directory on."),
        ("{shop}:chrge", "module {shop} has no 'chrge'. Did you mean 'charge'? Its tasks: thumbnail, charge, report."),
        ("{shop}:helper", "{shop}:helper is a function, and no task: put @dispatch.task above it. Its tasks: "),
        ("{shop}:Till", "{shop}:Till is a type, and no task"),
        ("json:dumps", "Module json has no tasks."),
        ("{shop}.charge", "'{shop}.charge' is not understood: write it as MODULE:TASK. Did you mean {shop}:charge?"),
        ("./{shop}.py:charge", "write it as MODULE:TASK. Did you mean {shop}:charge?"),
        ("{shop}", "write it as MODULE:TASK. For example, shop:charge."),
        (":", "write it as MODULE:TASK. For example, shop:charge."),
        ("a..b:c", "write it as MODULE:TASK. For example, shop:charge."),
    ],
)
def test_a_target_that_leads_nowhere_says_what_is_there(shop, target, says):
    """Status 2, a sentence with a guess, and no traceback."""
    asked = explain(target.format(shop=shop))

    assert (2, "") == (asked.exit_code, asked.stdout)
    assert says.format(shop=shop) in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--args", "[1 2]"),
            "not JSON: Expecting ',' delimiter, at line 1, column 4\n    [1 2]\n       ^\n",
        ),
        (("--args", "['cat']"), "Did you mean '[\"cat\"]'?"),
        (("--args", "42"), "this is a number, and must be a list, such as '[42]'"),
        (("--kwargs", "[1]"), "this is a list, and must be an object, such as '{\"width\": 64}'"),
        (("--args", "[NaN]"), "NaN is JavaScript's"),
        (("--args", '[\n"a",\nx]'), "at line 3, column 1\n    x]\n    ^\n"),
        (("--args", "[" * 100_000), "not JSON: "),
        (("--args", "[" + "1, " * 100 + "x]"), "1, 1, x]\n"),
        (("--args", "[1, 2, 3]"), "thumbnail() takes from 1 to 2 positional arguments but 3 were given"),
        (("--kwargs", '{"widht": 1}'), "thumbnail() got an unexpected keyword argument 'widht'"),
        (("--args", "[1]", "--latency-budget", "3"), "latency_budget: '3' is not a duration"),
        (("--args", "[1]", "--only", "spool"), "'spool' is not one of 'local', 'celery'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments_that_cannot_be_are_shown_with_their_place(shop, arguments, says):
    """JSON with a mark below the mistake; a signature with Python's own words. Status 2."""
    asked = explain(f"{shop}:thumbnail", *arguments)

    assert (2, "") == (asked.exit_code, asked.stdout)
    assert says in asked.stderr


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("{", "SyntaxError: '{' was never closed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_breaks_shows_its_own_traceback_and_none_of_ours(project, source, says):
    """Whoever wrote the module needs the line; nobody needs our frames."""
    shop = project(source)

    asked = explain(f"{shop.name}:charge")

    assert (2, "") == (asked.exit_code, asked.stdout)
    assert says in asked.stderr
    assert f'{shop.name}.py", line 1' in asked.stderr
    assert "_target.py" not in asked.stderr
    assert "importlib" not in asked.stderr
    assert asked.stderr.endswith(f"Error: importing {shop.name} failed\n")


def test_a_module_that_cannot_be_imported_without_a_broker_says_that_any_address_will_do(project):
    """`app = dispatch.celery_app()` wants one; explaining does not use it."""
    shop = project("import dispatch\napp = dispatch.celery_app()\n")

    asked = explain(f"{shop.name}:charge")

    assert 2 == asked.exit_code
    assert "there is no Celery app: set DISPATCH_BROKER_URL" in asked.stderr
    assert "any address will do" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_what_a_module_prints_is_not_mixed_into_the_answer(project):
    """JSON stays JSON."""
    shop = project("import dispatch\nprint('loading')\n@dispatch.task\ndef charge(): ...\n")

    asked = explain(f"{shop.name}:charge", "--json")

    assert "loading\n" == asked.stderr
    assert f"{shop.name}.charge" == json.loads(asked.stdout)["task"]
