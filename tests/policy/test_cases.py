"""Cases for policies: what they may say, what becomes of their calls, and what of the policy they cover."""

from __future__ import annotations

import pytest

from dispatch.errors import PolicyError
from dispatch.policy.testing import coverage, load_cases, run
from policy.marked import offending

POLICY = """\
version: 1
destinations:
  fast: {transport: local, capacity: 10, on_full: ON_FULL, max_bytes: 1MiB}
  loop: {transport: local, runner: asyncio}
  queue: {transport: celery}
  trusted: {transport: celery, durability: asserted}
  disk: {transport: spool, forward_to: queue}
  here: {transport: spool, run: fast}
defaults: {durability: ephemeral}
tasks:
  "bill.*": {durability: durable}
rules:
  - {name: here, match: {durability: durable, tags: here}, route_to: here}
  - {name: kept, match: {durability: durable}, route_to: queue, fallback: [disk]}
  - {name: tagged, match: {tags: eu}, route_to: trusted, fallback: [queue]}
  - {name: big, match: {payload: "> 64KiB"}, route_to: fast, fallback: [queue]}
  - {name: coroutines, match: {any: [{kind: async}, {task: loop.*}]}, route_to: loop, fallback: [fast]}
  - {name: strict, match: {latency_budget: "< 10ms"}, route_to: queue, on_infeasible: reject}
otherwise: {route_to: fast, fallback: [queue, trusted]}
"""


@pytest.fixture
def cases(tmp_path):
    """Write a policy and its cases; returns the path of the cases."""

    def write(text, *, on_full="block", name="shop_test.yaml"):
        (tmp_path / "shop.yaml").write_text(POLICY.replace("ON_FULL", on_full))
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def one(cases):
    """The outcome of one case, written without its name: `one("expect: …")`."""

    def decide(call="", given="", *, on_full="block"):
        text = f"{{name: it, call: {{{call}}}, given: {{{given}}}, expect: {{destination: fast}}}}"
        [outcome] = run(load_cases(cases(f"version: 1\ncases:\n  - {text}\n", on_full=on_full)))
        return outcome

    return decide


def went(outcome):
    """By which rule to whom, and who did not get it."""
    passed = [f"{each.destination}: {each.why}" for each in outcome.passed_over]
    return " | ".join([f"{outcome.rule} → {outcome.destination or outcome.error}", *passed])


@pytest.mark.parametrize(
    ("call", "given", "expected"),
    [
        # What the call says.
        ("", "", "otherwise → fast"),
        ("task: bill.pay", "", "kept → queue"),
        ("durability: durable", "", "kept → queue"),
        ("tags: [eu, slow]", "", "tagged → trusted"),
        ("kind: async", "", "coroutines → loop"),
        ("task: loop.one", "", "coroutines → fast | loop: cannot_carry"),
        ("payload: 65KiB", "", "big → fast"),
        ("payload: 2MiB", "", "big → queue | fast: too_big"),
        ("payload: unknown", "", "otherwise → fast"),
        ("only: celery", "", "otherwise → queue"),
        ("only: celery, kind: async", "", "coroutines → NotAccepted | loop: cannot_carry | fast: cannot_carry"),
        ("route_to: trusted", "", "otherwise → trusted"),
        ("tags: here, durability: durable", "", "here → here"),
        ("route_to: here", "", "otherwise → NotAccepted | here: cannot_carry"),
        ("route_to: fast, durability: durable", "", "kept → NotAccepted | fast: not_durable"),
        # How the destinations are.
        ("", "fast: full", "otherwise → queue | fast: full"),
        ("", "fast: {waiting: 9}", "otherwise → fast"),
        ("", "fast: {waiting: 10}", "otherwise → queue | fast: full"),
        ("", "fast: refused", "otherwise → queue | fast: refused"),
        ("", "fast: full, queue: refused", "otherwise → trusted | fast: full | queue: refused"),
        ("", "fast: full, queue: unverified", "otherwise → queue | fast: full"),
        ("tags: eu, task: bill.a", "queue: unverified", "kept → NotAccepted | queue: not_durable | disk: not_durable"),
        ("route_to: trusted, task: bill.a", "trusted: unverified", "kept → trusted"),
        ("task: bill.a", "queue: breaker_open", "kept → disk | queue: breaker_open"),
        ("task: bill.a", "queue: breaker_open, disk: full", "kept → SpoolFull | queue: breaker_open | disk: full"),
        ("task: bill.", "queue: not_configured", "kept → NotConfigured | queue: not_configured | disk: not_configured"),
        ("task: bill.a", "queue: refused, disk: unverified", "kept → NotAccepted | queue: refused | disk: not_durable"),
        ("tags: here, task: bill.a", "fast: refused", "here → NotAccepted | here: refused"),
        ("tags: here, task: bill.a", "here: refused", "here → NotAccepted | here: refused"),
        # The budget.
        ("latency_budget: 1s", "fast: {starts_in: 2s}", "otherwise → queue | fast: over_budget"),
        ("latency_budget: 5ms", "queue: {starts_in: 6ms}", "strict → NotAccepted | queue: over_budget"),
        ("latency_budget: 5ms", "queue: {starts_in: 5ms, is: refused}", "strict → NotAccepted | queue: refused"),
    ],
)  # fmt: skip
def test_a_call_goes_where_the_policy_sends_it(one, call, given, expected):
    """Requirements, payload, pins; room, breakers, brokers; and what would come too late."""
    assert expected == went(one(call, given))


@pytest.mark.parametrize(
    ("on_full", "call", "expected"),
    [
        ("block", "", "otherwise → queue | fast: full"),
        ("next", "", "otherwise → queue | fast: full"),
        ("reject", "", "otherwise → DestinationFull | fast: full"),
        ("reject", "latency_budget: 1s", "otherwise → DestinationFull | fast: full"),
        ("caller_runs", "", "otherwise → fast"),
        ("caller_runs", "kind: async", "coroutines → NotAccepted | loop: refused | fast: full"),
    ],
)
def test_a_full_destination_does_what_its_on_full_says(one, on_full, call, expected):
    """`reject` ends it: nobody behind is asked."""
    assert expected == went(one(call, "fast: full, trusted: breaker_open, loop: refused", on_full=on_full))


def test_a_pin_that_nothing_obeys_is_an_outcome_too(cases):
    """`NotConfigured`, before any rule is asked."""
    path = cases(
        "version: 1\npolicy: all-celery\ncases:\n  - {name: a, call: {only: local}, expect: {error: NotConfigured}}\n"
    )
    [outcome] = run(load_cases(path))

    assert ("None → NotConfigured", True) == (went(outcome), outcome.passed)


@pytest.mark.parametrize(
    ("expect", "differences"),
    [
        ("{destination: queue, rule: kept, passed_over: {}, over_budget: false}", ()),
        ("{destination: disk}", ("expected disk, got queue",)),
        ("{error: NotAccepted}", ("expected NotAccepted, got queue",)),
        ("{destination: queue, rule: otherwise}", ("expected the rule otherwise, got kept",)),
        (
            "{destination: queue, passed_over: {fast: full}}",
            ("expected fast (full) to be passed over, got nobody",),
        ),
        ("{destination: queue, over_budget: true}", ("expected over_budget to be true, got false",)),
    ],
)
def test_whatever_is_not_as_expected_is_a_difference(cases, expect, differences):
    """Each in a sentence; what the case does not say is not looked at."""
    path = cases(f"version: 1\ncases:\n  - {{name: it, call: {{durability: durable}}, expect: {expect}}}\n")
    [outcome] = run(load_cases(path))

    assert (differences, not differences) == (outcome.differences, outcome.passed)


GOOD = """\
version: 1
cases:
  - name: one
    call: {durability: durable, payload: 3KiB}
    given: {queue: breaker_open}
    expect: {destination: disk, rule: kept, passed_over: {queue: breaker_open}}
"""


def changed(was, becomes):
    assert was in GOOD
    return GOOD.replace(was, becomes, 1)


@pytest.mark.parametrize(
    ("marked", "code", "said"),
    [
        (changed("version: 1", "version: «2»"), "bad-version", "Write `version: 1`"),
        (changed("version: 1\ncases", "«cases»"), "missing-key", "Write `version: 1`"),
        (changed("cases:", "«caes»: 1\ncases:"), "unknown-key", "no key of a file of cases"),
        (changed("version: 1", "version: 1\npolicy: «[]»"), "empty", "at least one entry"),
        (changed("    call", "    «cal»: {}\n    call"), "unknown-key", "Did you mean `call`?"),
        (changed("durability: durable", "«durabilty»: durable"), "unknown-key", "Did you mean `durability`?"),
        (changed("durability: durable", "durability: «durble»"), "bad-value", "Did you mean `durable`?"),
        (changed("3KiB", "«3»"), "bad-size", "such as 512B"),
        (changed("payload", "latency_budget: «fast», payload"), "bad-duration", "such as 250ms"),
        (changed("payload", "only: «disk», payload"), "bad-value", "It takes: local, celery"),
        (changed("payload", "route_to: «dsk», payload"), "unknown-destination", "Did you mean `disk`?"),
        (changed("{queue: breaker_open}\n", "{«quue»: full}\n"), "unknown-destination", "Did you mean `queue`?"),
        (changed("{queue: breaker_open}\n", "{queue: «brkr»}\n"), "bad-value", "It takes: full"),
        (changed("{queue: breaker_open}\n", "{queue: «full»}\n"), "wrong-state", "transport celery cannot be 'full'"),
        (changed("{queue: breaker_open}\n", "{fast: {is: «unverified»}}\n"), "wrong-state", "It can be: full, refused"),
        (changed("{queue: breaker_open}\n", "{queue: {«waiting»: 3}}\n"), "wrong-state", "Say `starts_in`"),
        (changed("{queue: breaker_open}\n", "{queue: {«depth»: 3}}\n"), "unknown-key", "It takes: is, starts_in"),
        (changed("{queue: breaker_open}\n", "{fast: {waiting: «lots»}}\n"), "bad-count", "a whole number"),
        (changed("destination: disk", "destination: «dusk»"), "unknown-destination", "Did you mean `disk`?"),
        (changed("kept", "«kpet»"), "unknown-rule", "Did you mean `kept`?"),
        (changed("{queue: breaker_open}}", "{queue: «open»}}"), "bad-value", "It takes: not_durable"),
        (changed("{queue: breaker_open}}", "{«q»: full}}"), "unknown-destination", "Declared are"),
        (changed("{destination: disk, rule", "«{rule").replace("}}", "}}»"), "no-expectation", "Write `destination"),
        (changed("destination: disk", "error: «Refused»"), "bad-value", "It takes: NotAccepted"),
        (GOOD + "  - {name: «one», expect: {destination: disk}}\n", "repeated-case", "line 3 has this name"),
        (GOOD + "  - «{name: two}»\n", "missing-key", "Say what becomes of the call"),
        (GOOD.replace("cases:", "cases: &all", 1).replace("&all", "«&all»"), "anchor", "Remove it"),
        ("«[]»\n", "wrong-shape", "a file of cases is a mapping"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_a_mistake_is_reported_at_its_place_with_its_cure(cases, marked, code, said):
    """As those of policies are: file, line, column, text, what is wrong, what to write."""
    before = marked[: marked.index("«")]
    path = cases(marked.replace("«", "").replace("»", ""))
    with pytest.raises(PolicyError) as caught:
        load_cases(path)

    [problem] = caught.value.problems
    place = (str(path), before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert (*place, code) == (problem.file, problem.line, problem.column, problem.code)
    assert code in ("missing-key", "anchor", "no-expectation") or offending(marked) == problem.text
    assert said in f"{problem.message}\n{problem.cure}"


def test_cases_without_a_policy_beside_them_are_told_what_to_write(cases):
    """It is looked for by the file's own name."""
    with pytest.raises(PolicyError) as caught:
        load_cases(cases(GOOD, name="ship_test.yaml"))

    [problem] = caught.value.problems
    assert ("not-found", "there is no policy ship.yaml beside it") == (problem.code, problem.message)


def test_cases_may_be_about_an_overlay_or_a_ready_policy(cases, tmp_path):
    """Each named from the file's own folder; the later lies over the earlier."""
    (tmp_path / "prod.yaml").write_text("version: 1\ndestinations: {fast: {capacity: 2}}\n")
    of_prod = load_cases(
        cases(GOOD.replace("cases", "policy: [shop.yaml, prod.yaml]\ncases", 1), name="prod_test.yaml")
    )
    of_default = load_cases(cases(GOOD.replace("cases", "policy: default\ncases", 1).replace("kept", "must-survive")))

    assert 2 == of_prod.policy.destinations["fast"].capacity
    assert ("default",) == of_default.policy.sources


def test_mistakes_of_the_policy_are_told_with_those_of_its_cases(cases, tmp_path):
    """Nobody has to come twice."""
    path = cases(changed("3KiB", "3"), on_full="blok")
    with pytest.raises(PolicyError) as caught:
        load_cases(path)

    assert {("shop.yaml", "bad-value"), ("shop_test.yaml", "bad-size")} == {
        (each.file.removeprefix(f"{tmp_path}/"), each.code) for each in caught.value.problems
    }


def test_any_file_that_cannot_be_read_is_a_policy_error(tmp_path):
    """No file, a folder, other bytes."""
    (tmp_path / "latin_test.yaml").write_bytes(b"\xff")
    for name, code in [("nowhere_test.yaml", "unreadable"), (".", "unreadable"), ("latin_test.yaml", "not-utf-8")]:
        with pytest.raises(PolicyError) as caught:
            load_cases(tmp_path / name)
        assert [code] == [each.code for each in caught.value.problems]


# Coverage -------------------------------------------------------------------------------------------------------

COVERED = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery}
  disk: {transport: spool, forward_to: queue}
defaults: {durability: ephemeral}
rules:
  - {name: durable, match: {all: [{durability: durable}, {kind: io}]}, route_to: queue, fallback: [fast]}
  - {name: never, match: {durability: ephemeral, kind: cpu}, route_to: disk, fallback: [fast]}
otherwise: {route_to: fast, fallback: [queue]}
"""


@pytest.mark.parametrize(
    ("calls", "expected", "percent"),
    [
        ([], ["durable 0/0 queue=0 fast=never", "never 0/0 disk=never fast=0", "otherwise 0/0 fast=0 queue=0"], 0),
        (
            ["durability: durable"],
            ["durable 1/1 queue=1 fast=never", "never 0/0 disk=never fast=0", "otherwise 0/0 fast=0 queue=0"],
            100 * 2 / 7,
        ),
        (
            ["durability: durable", "kind: cpu", "", "durability: durable, kind: async"],
            ["durable 4/1 queue=1 fast=never", "never 3/1 disk=never fast=1", "otherwise 2/2 fast=1 queue=1"],
            100,
        ),
        (
            ["route_to: queue"],
            ["durable 1/0 queue=0 fast=never", "never 1/0 disk=never fast=0", "otherwise 1/1 fast=0 queue=0"],
            100 / 7,
        ),
    ],
)
def test_a_rule_is_covered_when_it_chose_and_a_candidate_when_it_got_the_call(tmp_path, calls, expected, percent):
    """What can never take a call of the rule is not asked for; a call pinned to a destination proves nothing."""
    (tmp_path / "shop.yaml").write_text(COVERED)
    path = tmp_path / "shop_test.yaml"
    listed = [f"  - {{name: '{call}.', call: {{{call}}}, expect: {{error: NotAccepted}}}}" for call in calls or [""]]
    path.write_text("\n".join(["version: 1", "cases:", *listed]))
    cases = load_cases(path)
    covered = coverage(cases.policy, run(cases) if calls else [])

    told = [
        " ".join(
            [
                f"{rule.rule} {rule.asked}/{rule.matched}",
                *(f"{each.destination}={'never' if each.never else each.chosen}" for each in rule.candidates),
            ]
        )
        for rule in covered.rules
    ]
    assert expected == told
    assert percent == pytest.approx(covered.percent)
