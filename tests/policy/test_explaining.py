"""Explaining a call: the objects that decide, asked to the last one."""

from __future__ import annotations

import json

from policy.places import a_task, broker, local, plan

RULES = """\
rules:
  - {name: must-survive, match: {durability: durable}, route_to: queue}
  - {name: cores, match: {any: [{kind: cpu}, {tags: [slow, eu]}]}, route_to: other}
  - {name: names, match: {task: ["billing.*", "mail.*"]}, route_to: other}
  - {name: big, match: {payload: "> 1KiB"}, route_to: fast}
  - {name: patient, match: {latency_budget: ">= 1s"}, route_to: queue}
  - {name: not-here, match: {not: {task: "shop.*"}}, route_to: queue}
otherwise: {route_to: queue, fallback: [fast, other]}
"""


def test_each_rule_says_why_it_refused_with_the_fact():
    """In the order in which they are asked, up to the one that holds."""
    explained = plan(RULES).explain(("x" * 304,), {})

    assert [
        "✗ must-survive: durability is ephemeral, not durable",
        "✗ cores: kind is io, not cpu, and tags lack eu, slow",
        "✗ names: task shop.resize is not like billing.* or mail.*",
        "✗ big: payload 312 B is not > 1KiB",
        "✗ patient: latency_budget is not set, so not >= 1s",
        "✗ not-here: task shop.resize is like shop.*",
        "✓ otherwise: no rule before it holds",
    ] == [str(asked) for asked in explained.rules]


def test_rules_behind_the_one_that_holds_are_not_asked():
    """It says why it holds."""
    explained = plan(RULES).explain(("x" * 3000,), {})

    assert "✓ big: payload at least 2.94 KiB is > 1KiB" == str(explained.rules[-1])
    assert 4 == len(explained.rules)


def test_an_unknown_payload_is_called_unknown():
    """Rather than small."""
    explained = plan(RULES).explain((object(),), {})

    assert "✗ big: payload is unknown, so not > 1KiB" in [str(asked) for asked in explained.rules]
    assert explained.payload is None
    assert explained.payload_asked


def test_a_set_budget_is_compared_in_words():
    """With the budget as people write it."""
    explained = plan(RULES, a_task(latency_budget="20ms")).explain((), {})

    assert "✗ patient: latency_budget 20 ms is not >= 1s" in [str(asked) for asked in explained.rules]


def test_each_candidate_says_what_becomes_of_it():
    """Passed over and why, chosen, or next in line."""
    explained = plan(RULES, None, broker(down="not_configured")).explain((), {})

    assert [
        "  queue (celery) not_configured",
        "→ fast (local) gets the call",
        "  other (celery) is fit, and would be next",
    ] == [str(candidate) for candidate in explained.candidates]
    assert ("fast", "otherwise") == (explained.decision.destination, explained.decision.rule)
    assert ["queue"] == [each.destination for each in explained.decision.passed_over]


def test_the_arguments_are_encoded_to_see_whether_they_can_be():
    """What does not encode goes to the next candidate, as it would when sent."""
    explained = plan(RULES, None, broker(encodes=False)).explain((), {})

    assert "fast" == explained.decision.destination
    assert "cannot_carry: it does not encode" == explained.candidates[0].words
    assert "arguments[0]" == explained.passed_over[0].argument


def test_a_call_that_nobody_takes_has_no_decision_and_a_list_of_reasons():
    """The list that the refusal would carry."""
    explained = plan(
        "otherwise: {route_to: fast, fallback: [queue]}\n",
        a_task(durability="durable"),
        broker(down="refused"),
    ).explain((), {})

    assert explained.decision is None
    assert [("fast", "not_durable"), ("queue", "refused")] == [
        (each.destination, each.why) for each in explained.passed_over
    ]
    assert "would not be accepted" in str(explained)


def test_the_budget_is_shown_with_each_prediction():
    """The one ranked behind is passed over, though it stands first in the rule."""
    explained = plan(
        RULES, a_task(latency_budget="10ms"), broker(start_ns=50 * 10**6), local(start_ns=10**6), broker("other")
    ).explain((), {})

    assert [
        "over_budget: it would start in 50 ms, and the budget is 10 ms",
        "gets the call; it would start in 1 ms",
        "is fit, and would be next; it would start in 0 µs",
    ] == [candidate.words for candidate in explained.candidates]


def test_a_pin_says_whom_it_leaves_out():
    """Those that the rule names and the pin does not keep."""
    explained = plan(RULES, a_task(only="celery")).explain((), {})

    assert "pinned with only='celery', which leaves out fast" == explained.pin
    assert "pinned" == explained.decision.reason
    assert plan(RULES).explain((), {}).pin is None


def test_an_explanation_is_plain_data_for_json():
    """Everything that the text says is a field."""
    explained = plan(RULES, a_task(latency_budget="10ms"), broker(down="breaker_open")).explain(("x" * 3000,), {})
    plain = json.loads(json.dumps(explained.to_dict()))

    assert {"task", "policy", "requirements", "payload", "rules", "candidates", "decision"} == set(plain)
    assert {"asked": True, "bytes": 3008, "at_least": True} == plain["payload"]
    assert {"durability": "ephemeral", "latency_budget_ns": 10**7, "pin": None} == plain["requirements"]
    assert "big" == plain["rules"][-1]["rule"]
    assert "fast" == plain["decision"]["destination"]
    assert plain["candidates"][0]["chosen"]


def test_nothing_is_explained_about_a_payload_that_nobody_asked_for():
    """It is not measured either."""
    explained = plan("otherwise: {route_to: fast}\n").explain(("x",), {})

    assert "payload not asked" in str(explained)
    assert not explained.to_dict()["payload"]["asked"]


def test_the_live_figures_stand_below_their_candidate():
    """What the prediction rests on, at this moment; as numbers too."""
    queue = broker(live={"publish_ns": 400_000, "heard": 12})
    explained = plan("otherwise: {route_to: queue, fallback: [fast]}\n", None, queue).explain((), {})

    assert "→ queue (celery) gets the call\n      now: publish 400 µs, heard 12" == str(explained.candidates[0])
    assert "  fast (local) is fit, and would be next" == str(explained.candidates[1])
    assert {"publish_ns": 400_000, "heard": 12} == explained.to_dict()["candidates"][0]["figures"]
