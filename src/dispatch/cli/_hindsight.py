"""Why a call went where it went, told afterwards: its span says what was true then, and its policy is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import msgspec

from dispatch._requirements import Kind
from dispatch._units import show_duration, show_size
from dispatch.errors import PolicyError
from dispatch.policy import READY, UNMEASURED, Asked, AtLeast, Facts, Policy, load
from dispatch.telemetry.traces import Span, Trace


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate, and what became of it."""

    destination: str
    chosen: bool
    words: str

    def __str__(self) -> str:
        return f"{'→' if self.chosen else ' '} {self.destination} {self.words}"


class Hindsight(msgspec.Struct, frozen=True, kw_only=True):
    """The explanation of one decision, and of those in its trace that were decided alike."""

    calls: tuple[str, ...]
    """Their ids."""
    task: str
    policy_version: str
    sources: tuple[str, ...] | None
    """What the policy was read from; `None`: no policy of this version is at hand, and no rule was asked."""
    facts: str
    rules: tuple[Asked, ...]
    candidates: tuple[Stood, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        head, *more = self.calls
        alike = f", and {len(more)} more decided alike" if more else ""
        sources = f"policy {' + '.join(self.sources)}, version" if self.sources is not None else "policy version"
        return "\n".join(
            [
                f"{self.task} {head}{alike}",
                f"{sources} {self.policy_version}",
                self.facts,
                *(["rules", *(f"  {each}" for each in self.rules)] if self.rules else []),
                "candidates",
                *(f"  {each}" for each in self.candidates),
                *(f"note: {each}" for each in self.notes),
            ]
        )


def hindsight(trace: Trace, policies: Library) -> list[Hindsight]:
    """One explanation for each way in which a call of `trace` was decided, in the order of the first calls."""
    alike: dict[object, list[Span]] = {}
    for span in trace.spans:
        ours = span.is_call or span.name.startswith("dispatch ")
        if ours and "dispatch.policy.version" in span.attributes:
            alike.setdefault(_decided_by(span.said), []).append(span)
    return [_told(spans, policies) for spans in alike.values()]


class Library:
    """The policies at hand, found by their version."""

    def __init__(self, named: Sequence[str], in_force: str | None) -> None:
        """`named` are the files of one policy; without any, `in_force`, as `DISPATCH_POLICY` has it, and the ready
        ones are looked through. Raises `PolicyError` for a bad policy that was named.
        """
        self._shelf = [load(named)] if named else list(_at_hand(in_force))
        self.was_named = bool(named)

    def find(self, version: str) -> Policy | None:
        return next((each for each in self._shelf if each.version == version), None)


def _at_hand(in_force: str | None) -> Iterator[Policy]:
    said = [[part.strip() for part in in_force.split(",")]] if in_force is not None else []
    for sources in (*said, *([name] for name in READY)):
        try:
            yield load(sources)
        except PolicyError:  # nobody asked for this one
            continue


_TOLD = ("task.name", "task.kind", "policy.version", "rule", "destination", "durability", "latency_budget_us", "pin")


def _decided_by(said: dict[str, Any]) -> object:
    passed = said.get("dispatch.passed_over")
    return (*(str(said.get(f"dispatch.{each}")) for each in _TOLD), str(passed))


def _told(spans: Sequence[Span], policies: Library) -> Hindsight:
    said = spans[0].said
    version = str(said["dispatch.policy.version"])
    policy, facts = policies.find(version), _facts(spans[0])
    rules = policy.asked(facts) if policy is not None and facts is not None else ()
    rule = said.get("dispatch.rule")
    return Hindsight(
        calls=tuple(str(span.attributes.get("dispatch.call.id")) for span in spans),
        task=str(said.get("dispatch.task.name")),
        policy_version=version,
        sources=policy.sources if policy is not None else None,
        facts=", ".join(_shown(said)),
        rules=rules,
        candidates=tuple(_stood(said, policy, rules[-1].rule if rules and rule is None else str(rule))),
        notes=tuple(_notes(policies, policy, rules, rule, version)),
    )


def _facts(span: Span) -> Facts | None:
    """`None` where the span comes from elsewhere, and says what nobody here would."""
    said = span.said
    kind, durability = said.get("dispatch.task.kind", "io"), said.get("dispatch.durability")
    tags, budget, size = said.get("dispatch.task.tags"), said.get("dispatch.latency_budget_us"), _size(said)
    if kind not in get_args(Kind) or durability not in ("ephemeral", "durable"):
        return None
    return Facts(
        task=str(said.get("dispatch.task.name")),
        tags=frozenset(map(str, tags)) if isinstance(tags, list) else frozenset(),
        kind=kind,
        durability=durability,
        latency_budget_ns=round(budget * 1e3) if isinstance(budget, int | float) else None,
        payload=UNMEASURED if size is None else size,
    )


def _size(said: dict[str, Any]) -> int | None:
    size = said.get("dispatch.payload.bytes")
    if not isinstance(size, int):
        return None
    return AtLeast(size) if said.get("dispatch.payload.at_least") is True else size


def _shown(said: dict[str, Any]) -> Iterator[str]:
    yield str(said.get("dispatch.durability"))
    budget, size = said.get("dispatch.latency_budget_us"), _size(said)
    yield f"latency budget {show_duration(budget * 1e3) if isinstance(budget, int | float) else 'none'}"
    if size is None:
        yield "payload not asked, or unknown"
    else:
        yield f"payload {'at least ' if type(size) is AtLeast else ''}{show_size(size)}"
    if kind := said.get("dispatch.task.kind"):
        yield f"kind {kind}"
    if isinstance(tags := said.get("dispatch.task.tags"), list):
        yield f"tags {' '.join(map(str, tags))}"
    if pin := said.get("dispatch.pin"):
        yield f"pinned with {pin}"


def _stood(said: dict[str, Any], policy: Policy | None, rule: str) -> Iterator[Stood]:
    """In the order of the rule where its policy is known, else in that in which they were asked."""
    chosen = said.get("dispatch.destination")
    passed = dict(_passed_over(said))
    names = policy.candidates(rule) if policy is not None else ()
    for name in dict.fromkeys((*names, *passed, *([chosen] if chosen else []))):
        if name == chosen:
            yield Stood(destination=str(name), chosen=True, words=_chosen(said))
        elif name in passed:
            yield Stood(destination=name, chosen=False, words=passed[name])
        elif "dispatch.pin" in said:
            yield Stood(destination=name, chosen=False, words="was left out by the pin, or stood behind")
        elif chosen:
            yield Stood(destination=name, chosen=False, words="stood behind, and was not needed")
        else:
            yield Stood(destination=name, chosen=False, words="is not spoken of")


def _passed_over(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    passed, details = said.get("dispatch.passed_over"), said.get("dispatch.passed_over.details")
    if not isinstance(passed, list):
        return
    facts = [*details] if isinstance(details, list) else []
    for at, each in enumerate(passed):
        name, _, why = str(each).rpartition(":")
        detail = facts[at] if at < len(facts) else ""
        yield name, f"{why}: {detail}" if detail else why


def _chosen(said: dict[str, Any]) -> str:
    words = f"({said.get('dispatch.transport')}) got the call"
    predicted = said.get("dispatch.predicted_start_us")
    if isinstance(predicted, int | float):
        words += f"; it was to start in {show_duration(predicted * 1e3)}"
    if said.get("dispatch.over_budget") is True:
        words += ", later than the budget, and nobody was earlier"
    return words


def _notes(
    policies: Library, policy: Policy | None, rules: tuple[Asked, ...], rule: object, version: str
) -> Iterator[str]:
    if policy is None and policies.was_named:
        yield f"its rules are not asked again: the policy that --policy names is another version than {version}"
    elif policy is None:
        yield "its rules are not asked again: no policy of this version is at hand; name its files with --policy"
    elif rules and rule is not None and rules[-1].rule != rule:
        yield f"asked again, {rules[-1].rule} chooses, and then it was {rule}: the trace has not kept every fact"
