"""`only` keeps the candidates of a transport; `route_to` names the candidate."""

from __future__ import annotations

import pytest

from dispatch.errors import NotConfigured
from dispatch.policy import load
from policy.places import a_task, by_name, local, offered, plan

RULES = """\
rules:
  - {name: big, match: {payload: "> 1KiB"}, route_to: fast}
otherwise: {route_to: fast, fallback: [queue, other]}
"""


def test_only_keeps_the_candidates_of_one_transport_in_their_order():
    """And the decision says that it was pinned."""
    celery, here = plan(RULES, a_task(only="celery")), plan(RULES, a_task(only="local"))

    assert ["queue", "other"] == offered(celery)
    assert ["fast"] == offered(here)
    assert ("otherwise", "pinned") == (celery.route(5).rule, celery.route(5).reason)


def test_only_does_not_add_what_the_rule_does_not_name():
    """The call is not accepted, and each candidate says that the pin is why."""
    bound = plan(RULES, a_task(only="celery"))

    assert ["fast: cannot_carry"] == offered(bound, "x" * 2000)
    assert "only='celery'" in bound.route(2000).passed_over[0].detail


def test_route_to_keeps_one_candidate():
    """No fallback is left."""
    bound = plan(RULES, a_task(route_to="queue"))

    assert ["queue"] == offered(bound)
    assert "pinned" == bound.route(5).reason


def test_route_to_names_the_candidate_also_where_the_rule_does_not():
    """The task said so beforehand; the rule's name is kept."""
    bound = plan(RULES, a_task(route_to="queue"))

    assert ["queue"] == offered(bound, "x" * 2000)
    assert ("big", "pinned") == (bound.route(2000).rule, bound.route(2000).reason)


def test_a_pin_does_not_weaken_durability():
    """A durable call pinned to memory is refused, not kept there."""
    assert ["fast: not_durable"] == offered(plan(RULES, a_task(only="local", durability="durable")))
    assert ["fast: not_durable"] == offered(plan(RULES, a_task(route_to="fast", durability="durable")))


def test_both_pins_must_be_obeyed():
    """A named destination of the wrong transport is not taken."""
    assert ["fast: cannot_carry"] == offered(plan(RULES, a_task(only="celery", route_to="fast")))
    assert ["queue"] == offered(plan(RULES, a_task(only="celery", route_to="queue")))


def test_a_destination_that_the_policy_does_not_have_is_not_configured():
    """The message names those it has."""
    with pytest.raises(NotConfigured, match=r"route_to='nowhere'.*fast \(local\), queue \(celery\)"):
        plan(RULES, a_task(route_to="nowhere"))


def test_a_transport_that_the_policy_does_not_have_is_not_configured():
    """With the setting to change."""
    with pytest.raises(NotConfigured, match=r"only='celery'.*DISPATCH_POLICY"):
        load("no-broker").bind(a_task(only="celery"), by_name(local()))
