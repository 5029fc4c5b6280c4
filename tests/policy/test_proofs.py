"""What is proved of a policy whose every part is right: the place, the cure, and where nothing is said."""

from __future__ import annotations

import pytest

from dispatch.errors import PolicyError
from dispatch.policy import load, parse
from policy.marked import offending, the_problem

HEAD = """\
version: 1
destinations:
  fast: {transport: local}
  cpu: {transport: local, runner: process, reached_by: pins}
  queue: {transport: celery, max_payload: 1MiB}
  disk: {transport: spool, forward_to: queue, reached_by: pins}
defaults: {durability: ephemeral}
"""
OTHERWISE = "otherwise: {route_to: fast, fallback: [queue]}\n"


def rules(*lines: str, head: str = HEAD, otherwise: str = OTHERWISE) -> str:
    return head + "rules:\n" + "".join(f"  - {{{line}}}\n" for line in lines) + otherwise


SHOP = "name: shop, match: {task: 'shop.*'}, route_to: queue"
TASKS = HEAD + "tasks: {'shop.*': {durability: durable, latency_budget: 1s}%s}\n"

TABLE = [
    # Never.
    (rules("name: no, match: «{kind: cpu, not: {kind: cpu}}», route_to: queue"), "never-holds", "under `any`"),
    (rules("name: no, match: «{task: 'a.*', all: [{task: '*.b'}, {task: 'a?'}]}», route_to: queue"), "never-holds", ""),
    (rules("name: no, match: «{payload: '> 1MiB', any: [{payload: '< 1KiB'}]}», route_to: fast"), "never-holds", ""),
    (
        rules("name: no, match: «{task: 'shop.x', durability: ephemeral}», route_to: fast", head=TASKS % ""),
        "never-holds",
        "`tasks` and `defaults`",
    ),
    # Too late.
    (
        rules(SHOP, "name: «mail», match: {task: 'shop.mail.*'}, route_to: fast"),
        "shadowed-rule",
        "`shop` (line 9) takes",
    ),
    (
        rules(
            "name: small, match: {payload: '< 1KiB'}, route_to: fast",
            "name: rest, match: {not: {payload: '< 1KiB'}, kind: io}, route_to: queue",
            "name: «io», match: {kind: io, tags: slow}, route_to: queue",
        ),
        "shadowed-rule",
        "`small` (line 9) and `rest` (line 10) take",
    ),
    # Needless.
    (
        rules("name: «io», match: {kind: io}, route_to: fast, fallback: [queue]"),
        "redundant-rule",
        "would come to `otherwise`",
    ),
    # Words in vain.
    (HEAD.replace("fast: {", "fast: {on_full: next, «block_timeout»: 5s, ") + OTHERWISE, "no-effect", "on_full: block"),
    (HEAD.replace("1MiB}", "1MiB, durability: asserted, «require»: fsync}") + OTHERWISE, "no-effect", "nobody asks"),
    (
        rules("name: keep, match: {durability: durable}, route_to: queue, on_infeasible: «reject»"),
        "no-effect",
        "ephemeral calls with a latency budget",
    ),
    (TASKS % ", «'mail.*'»: {}" + OTHERWISE, "no-effect", "says nothing about its tasks"),
    (TASKS % ", 'shop.mail': {«latency_budget»: 1m}" + OTHERWISE, "no-effect", "`shop.*` stands before it"),
    (TASKS % ", 'shop.mail': {«durability»: ephemeral}" + OTHERWISE, "no-effect", "makes these tasks durable"),
    (HEAD.replace("cpu: {", "«spare»: {transport: local}\n  cpu: {") + OTHERWISE, "unreached-destination", "by: pins"),
    # Calls that nothing takes.
    (rules("name: keep, match: {durability: durable}, route_to: «fast»"), "never-carried", "takes nothing durable"),
    (rules("name: big, match: {payload: '> 1MiB'}, route_to: «queue»"), "never-carried", "takes at most 1 MiB"),
    (
        rules(
            "name: cpu, match: {kind: cpu}, route_to: «cpu»",
            "name: keep, match: {durability: durable}, route_to: queue",
        ),
        "no-durable-candidate",
        "`keep` (line 10), which is for durable calls, comes later",
    ),
    (
        rules("name: cpu, match: {kind: cpu}, route_to: «cpu»", head=TASKS % ""),
        "no-durable-candidate",
        "`tasks` makes calls of `shop.*` durable",
    ),
    (
        rules("name: cpu, match: {kind: cpu}, route_to: «cpu»", head=HEAD.replace("ephemeral", "durable")),
        "no-durable-candidate",
        "`defaults` makes calls durable",
    ),
    (rules("name: cpu, match: {kind: cpu}, route_to: «disk»"), "no-ephemeral-candidate", "takes nothing ephemeral"),
]


@pytest.mark.parametrize(("marked", "code", "said"), TABLE, ids=lambda value: None)
def test_what_is_proved_is_reported_at_its_place_with_its_cure(marked, code, said):
    """As every other mistake is."""
    problem, place = the_problem(marked)

    assert (place, code) == ((problem.line, problem.column), problem.code)
    assert problem.text.startswith(offending(marked))
    assert said in f"{problem.message}\n{problem.cure}"


@pytest.mark.parametrize(
    "text",
    [
        rules("name: a, match: {task: 'shop.?'}, route_to: queue", "name: b, match: {task: 'shop.*'}, route_to: fast"),
        rules(
            "name: a, match: {payload: '< 1KiB'}, route_to: fast",
            "name: b, match: {not: {payload: '>= 1KiB'}}, route_to: queue",
        ),
        rules("name: a, match: {tags: [x, y]}, route_to: queue", "name: b, match: {tags: x}, route_to: fast"),
        rules(
            "name: a, match: {latency_budget: '> 0s'}, route_to: queue",
            "name: b, match: {not: {latency_budget: '< 1s'}}, route_to: fast",
        ),
        rules("name: big, match: {payload: '> 1KiB'}, route_to: queue"),
        rules("name: cpu, match: {kind: cpu}, route_to: cpu"),
        rules(
            "name: cpu, match: {kind: cpu, durability: ephemeral}, route_to: cpu",
            head=HEAD.replace("ephemeral", "durable"),
        ),
        # A star may end after a letter: `s` is like the one and not like the other.
        rules("name: a, match: {task: '*', not: {task: '[!s]*'}}, route_to: queue"),
    ],
)
def test_where_a_call_shows_the_contrary_nothing_is_said(text):
    """A letter more, a payload of unknown size, one tag of two, a budget that nobody set, a task's own word."""
    assert 1 <= len(parse(text).rules)


def test_an_overlay_may_leave_a_rule_without_calls_and_a_key_without_effect(tmp_path):
    """What one place has no use for is of use in another; an overlay can take nothing away."""
    base, prod = tmp_path / "base.yaml", tmp_path / "prod.yaml"
    fast = "fast: {transport: local, on_full: block, block_timeout: 5s}"
    base.write_text(
        rules(SHOP, "name: lost, match: {durability: ephemeral, kind: cpu}, route_to: queue").replace(
            "fast: {transport: local}", fast
        )
    )
    prod.write_text("version: 1\ndestinations: {fast: {on_full: next}}\ntasks: {'*': {durability: durable}}\n")

    assert "next" == load([base, prod]).destinations["fast"].on_full


def test_an_overlay_may_not_send_calls_where_nothing_takes_them(tmp_path):
    """The place is the rule's, and the message says who made them so."""
    base, prod = tmp_path / "base.yaml", tmp_path / "prod.yaml"
    base.write_text(rules("name: cpu, match: {kind: cpu}, route_to: cpu"))
    prod.write_text("version: 1\ndefaults: {durability: durable}\n")
    with pytest.raises(PolicyError, match="`defaults` makes calls durable") as caught:
        load([base, prod])

    assert [(str(base), "no-durable-candidate")] == [(each.file, each.code) for each in caught.value.problems]


def test_an_overlay_answers_for_what_it_says_itself_in_vain(tmp_path):
    """A new destination that nothing reaches, a new key without effect."""
    base, prod = tmp_path / "base.yaml", tmp_path / "prod.yaml"
    base.write_text(HEAD + OTHERWISE)
    prod.write_text(
        "version: 1\ndestinations:\n  fast: {on_full: next, block_timeout: 5s}\n  spare: {transport: local}\n"
    )
    with pytest.raises(PolicyError) as caught:
        load([base, prod])

    assert [(str(prod), 3, "no-effect"), (str(prod), 4, "unreached-destination")] == [
        (each.file, each.line, each.code) for each in caught.value.problems
    ]
