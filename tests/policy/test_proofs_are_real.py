"""What is proved of a policy is so: every call of a small vocabulary is asked, and none says otherwise.

`PROOF_EXAMPLES=500 pytest tests/policy/test_proofs_are_real.py` looks for longer.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, note, settings

from dispatch.errors import PolicyError, Problem
from dispatch.policy import parse
from dispatch.policy._facts import Facts
from dispatch.policy._rule import Rule
from policy.places import a_task
from policy.universe import NAMES, TRANSPORTS, calls, policies, unproved, written

_REFUSES = {"local": "durable", "spool": "ephemeral"}
LENIENT = {
    "version": 1,
    "destinations": {"here": {"transport": "local"}},
    "defaults": {"durability": "ephemeral"},
    "otherwise": {"route_to": "here"},
}
ANY = [*calls(unproved(LENIENT))]
"""Every call that there could be under any policy."""
EXAMPLES = int(os.environ.get("PROOF_EXAMPLES") or 20)
CALM = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.timeout(60 + 2 * EXAMPLES)


class Tried:
    """Everything that happens under one policy, and what was proved of it."""

    def __init__(self, policy: dict) -> None:
        self.policy = policy
        self.loaded = unproved(policy)
        self.rules: tuple[Rule, ...] = self.loaded._rules
        self.limits = {
            name: 1000 if name == "there" else int(said["max_payload"][:-1]) if "max_payload" in said else None
            for name, said in policy["destinations"].items()
        }
        self.facts = [*calls(self.loaded)]
        self.chosen = [self.rule(facts) for facts in self.facts]
        self.problems = problems_of(policy)
        note("\n".join(map(str, self.problems)))

    def rule(self, facts: Facts) -> str:
        return next(rule.name for rule in self.rules if rule.holds(facts))

    def found(self, *codes: str) -> set[str]:
        """The rules of which one of these was proved."""
        return {self.about(each) for each in self.problems if each.code in codes}

    def about(self, problem: Problem) -> str:
        at = problem.line - 2
        return f"r{at}" if at < len(self.policy["rules"]) else "otherwise"

    def named(self, name: str) -> Rule:
        return next(rule for rule in self.rules if rule.name == name)

    def takers(self, rule: str, facts: Facts) -> list[str]:
        """Who of the rule's candidates may take this call, as far as the policy says."""
        return [
            name
            for name in self.named(rule).targets
            if facts.durability != _REFUSES.get(TRANSPORTS[name])
            and (self.limits[name] is None or facts.payload is None or facts.payload <= self.limits[name])
        ]


def problems_of(policy: dict) -> tuple[Problem, ...]:
    try:
        parse(written(policy))
    except PolicyError as error:
        return error.problems
    return ()


@CALM
@given(policies)
def test_a_rule_is_called_dead_when_no_call_chooses_it_and_only_then(policy):
    """In both directions: within this vocabulary the proofs leave nothing out."""
    tried = Tried(policy)
    never = {rule.name for rule in tried.rules[:-1]} - set(tried.chosen)
    by_itself = {rule.name for rule in tried.rules[:-1] if not any(map(rule.holds, tried.facts))}

    assert never == tried.found("never-holds", "shadowed-rule")
    assert by_itself == tried.found("never-holds")


@CALM
@given(policies)
def test_a_rule_that_is_called_redundant_changes_no_decision(policy):
    """Without it, alone or with all others of its kind, every call has the candidates that it had."""
    tried = Tried(policy)
    redundant = tried.found("redundant-rule")
    for gone in [{name} for name in redundant] + [redundant] * bool(redundant):
        left = [rule for rule in tried.rules if rule.name not in gone]
        for facts, chosen in zip(tried.facts, tried.chosen, strict=True):
            before = next(rule for rule in tried.rules if rule.name == chosen)
            after = next(rule for rule in left if rule.holds(facts))
            rejects = facts.durability == "ephemeral" and facts.latency_budget_ns is not None

            assert before.targets == after.targets
            assert not rejects or before.rejects == after.rejects


@CALM
@given(policies)
def test_a_rejection_is_called_idle_when_it_rejects_no_call_and_only_then(policy):
    """`on_infeasible: reject` on a rule that gets calls, none of them ephemeral and with a budget."""
    tried = Tried(policy)
    rejecting = {rule.name for rule in tried.rules[:-1] if rule.rejects} & set(tried.chosen)
    busy = {
        chosen
        for facts, chosen in zip(tried.facts, tried.chosen, strict=True)
        if facts.durability == "ephemeral" and facts.latency_budget_ns is not None
    }

    idle = {tried.about(each) for each in tried.problems if each.code == "no-effect" and "reject" in each.message}
    assert rejecting - busy == idle


@CALM
@given(policies)
def test_calls_are_called_refused_when_every_one_is_and_only_then(policy):
    """No candidate of the rule may take any call that comes to it."""
    tried = Tried(policy)
    carried = {chosen for facts, chosen in zip(tried.facts, tried.chosen, strict=True) if tried.takers(chosen, facts)}

    assert set(tried.chosen) - carried == tried.found("never-carried")


@CALM
@given(policies)
def test_a_call_is_called_sent_in_vain_when_the_policy_made_it_so_and_only_then(policy):
    """Its durability is the policy's own word, or a later rule is for such calls, and all candidates refuse it."""
    tried = Tried(policy)
    vain: dict[str, set[str]] = {"durable": set(), "ephemeral": set()}
    given_by_policy = {name: tried.loaded._requirements(a_task(name))[0] for name in NAMES}
    asked_for = {rule.name: _durabilities(rule) for rule in tried.rules[:-1]}
    for facts, chosen in zip(tried.facts, tried.chosen, strict=True):
        if {facts.durability} == {_REFUSES.get(TRANSPORTS[name]) for name in tried.named(chosen).targets}:
            later = tried.rules[tried.rules.index(tried.named(chosen)) + 1 : -1]
            if given_by_policy[facts.task] == facts.durability or any(
                asked_for[rule.name] == {facts.durability} and rule.holds(facts) for rule in later
            ):
                vain[facts.durability].add(chosen)

    for durability, rules in vain.items():
        assert rules - tried.found("never-carried") == tried.found(f"no-{durability}-candidate")


def _durabilities(rule: Rule) -> set[str]:
    """Of all calls that there could be under any policy, those that it matches."""
    return {facts.durability for facts in ANY if rule.holds(facts)}
