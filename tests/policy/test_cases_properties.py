"""What holds for every case of every policy, by search."""

from __future__ import annotations

import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dispatch.errors import PolicyError
from dispatch.policy import ready
from dispatch.policy.testing import coverage, load_cases, run
from policy.test_properties import CALM, NAMES, mend, policies, spoil, well_told

WHY = ["full", "breaker_open", "unverified", "not_configured", "refused"]
calls = st.fixed_dictionaries(
    {},
    optional={
        "task": st.sampled_from(["shop.add", "bill.pay"]),
        "kind": st.sampled_from(["io", "cpu", "async"]),
        "tags": st.sampled_from(["slow", ["slow", "eu"]]),
        "durability": st.sampled_from(["ephemeral", "durable"]),
        "latency_budget": st.sampled_from(["10ms", "1s", "1h"]),
        "payload": st.sampled_from(["1B", "100B", "101B", "1MiB", "unknown"]),
        "only": st.sampled_from(["local", "celery"]),
        "route_to": st.sampled_from(NAMES),
    },
)
transports = st.sampled_from(
    [
        {"transport": "local"},
        {"transport": "local", "on_full": "reject", "capacity": 3, "max_bytes": "100B"},
        {"transport": "local", "on_full": "caller_runs"},
        {"transport": "local", "runner": "asyncio", "on_full": "next"},
        {"transport": "celery"},
        {"transport": "celery", "durability": "asserted", "max_payload": "100B"},
    ]
)
made_of = st.tuples(st.just({"transport": "local"}), transports, st.just({"transport": "celery"}), transports).flatmap(
    st.permutations
)
"""One for each of `NAMES`; among them are one that takes whatever is ephemeral, and one that takes anything."""
states = st.fixed_dictionaries(
    {},
    optional={
        "is": st.sampled_from(WHY),
        "starts_in": st.sampled_from(["1ms", "100ms", "1m"]),
        "waiting": st.integers(0, 20),
    },
)


def cases_in(path):
    """The cases, or every mistake that is in them; any other exception fails the test."""
    try:
        return load_cases(path), ()
    except PolicyError as error:
        return None, error.problems


def possible(state, transport):
    """Without what a destination of this transport is never in."""
    never = WHY[1:4] if transport == "local" else ["full"]
    return {
        key: value for key, value in state.items() if value not in never and (key != "waiting" or transport == "local")
    }


@settings(CALM, max_examples=30)  # each makes a policy that the proofs take, and a file of cases
@given(policies, made_of, calls, st.tuples(*[states] * len(NAMES)))
def test_every_call_has_one_end_and_what_is_durable_is_never_kept_in_memory(
    tmp_path_factory, policy, made, call, given_states
):
    """A destination or an error, a rule that is there, and a coverage from 0 to 100."""
    folder = tmp_path_factory.getbasetemp()
    destinations = {name: {**settings, "reached_by": "pins"} for name, settings in zip(NAMES, made, strict=True)}
    policy = mend({**policy, "destinations": destinations})
    given_states = [possible(state, settings["transport"]) for state, settings in zip(given_states, made, strict=True)]
    cases = {
        "version": 1,
        "policy": "cases.yaml",
        "cases": [
            {
                "name": "it",
                "call": call,
                "given": dict(zip(NAMES, given_states, strict=True)),
                "expect": {"destination": "here"},
            }
        ],
    }
    (folder / "cases.yaml").write_text(json.dumps(policy))
    (folder / "cases_test.yaml").write_text(json.dumps(cases))
    read, problems = cases_in(folder / "cases_test.yaml")
    assert all(map(well_told, problems))
    assume(read is not None)  # a call may ask for what the policy does not have
    [outcome] = run(read)

    assert (outcome.destination is None) != (outcome.error is None)
    assert outcome.destination not in [each.destination for each in outcome.passed_over]
    assert 0 <= coverage(read.policy, [outcome]).percent <= 100
    assert outcome.passed == (outcome.destination == "here")
    if outcome.explanation is not None and outcome.explanation.durability == "durable" and outcome.destination:
        assert "local" != read.policy.destinations[outcome.destination].transport


@CALM
@given(st.data())
def test_any_change_of_good_cases_is_told_as_mistakes_or_is_good(tmp_path_factory, data):
    """A tree put in the place of any part of it; nothing but `PolicyError` comes out."""
    tree = {
        "version": 1,
        "policy": [str(ready("default"))],
        "cases": [
            {
                "name": "it",
                "call": {"durability": "durable", "tags": ["eu"], "payload": "1MiB"},
                "given": {"queue": {"is": "refused"}, "fast": "full"},
                "expect": {"destination": "disk", "rule": "must-survive", "passed_over": {"queue": "refused"}},
            }
        ],
    }
    spoil(tree, data)
    path = tmp_path_factory.getbasetemp() / "default_test.yaml"
    path.write_text(json.dumps(tree, default=str))
    cases, problems = cases_in(path)

    assert all(map(well_told, problems))
    assert cases is None or run(cases)


@CALM
@given(st.binary(max_size=100) | st.text(alphabet="{}[]:,-&*!|>#%'\"\\?@` \n\tab1<.", max_size=60).map(str.encode))
def test_any_bytes_are_told_as_mistakes(tmp_path_factory, data):
    """A file that nobody wrote."""
    path = tmp_path_factory.getbasetemp() / "bytes_test.yaml"
    path.write_bytes(data)

    assert all(map(well_told, cases_in(path)[1]))
    assert cases_in(path)[1]
