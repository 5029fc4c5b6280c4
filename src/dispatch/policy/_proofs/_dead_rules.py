"""Rules that no call needs: they never hold, or come too late, or say what would happen without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispatch.errors import Problem
from dispatch.policy._facts import Facts
from dispatch.policy._proofs._box import Box, meet, without
from dispatch.policy._proofs._effort import Unsure
from dispatch.policy._proofs._subject import Subject
from dispatch.policy._rule import Rule


def dead_rules(subject: Subject) -> Iterator[Problem]:
    """Each rule without which every call would be decided as it is, and each `on_infeasible` that changes nothing."""
    shadowed = set()
    shown: dict[int, Facts] = {}
    for at, rule in enumerate(subject.rules[:-1]):
        try:
            call = _taken_by(subject, at)
        except Unsure:
            continue
        if call is None:
            shadowed.add(at)
            yield _why_dead(subject, at)
        else:
            shown[at] = call
            if rule.rejects:
                yield from _idle_reject(subject, at)
    yield from _redundant(subject, shown, [rule for at, rule in enumerate(subject.rules) if at not in shadowed])


def _taken_by(subject: Subject, at: int) -> Facts | None:
    """A call that the rule number `at` gets. Raises `Unsure`."""
    return subject.search.left_over(subject.search.region(subject.rules[at]), [*subject.laws, *subject.rules[:at]])


def _why_dead(subject: Subject, at: int) -> Problem:
    search, rule = subject.search, subject.rules[at]
    boxes = search.region(rule)
    if _none_left(subject, boxes, []):
        return subject.spot(at, "match").problem(
            "never-holds",
            "no call can match this: its conditions exclude one another",
            "Keys beside each other must all hold; what may hold instead belongs under `any`.",
        )
    if _none_left(subject, boxes, subject.laws):
        return subject.spot(at, "match").problem(
            "never-holds",
            "no call can match this: `tasks` and `defaults` give every such call another durability, or a budget",
            "Change the rule, or what `tasks` and `defaults` say.",
        )
    used: set[str] = set()
    earlier = subject.rules[:at]
    try:
        search.left_over(boxes, [*subject.laws, *earlier], used)
    except Unsure:  # the same question was just answered, and the steps of all together are used up
        used = {each.name for each in earlier}
    takers = [each for each in earlier if each.name in used]
    alone = next((each for each in takers if _none_left(subject, boxes, [*subject.laws, each])), None)
    listed = [f"`{each.name}` (line {subject.spot(subject.rules.index(each), 'name').line})" for each in takers]
    if alone is not None:
        listed = [listed[takers.index(alone)]]
    return subject.spot(at, "name").problem(
        "shadowed-rule",
        f"no call is left for this rule: {_and(listed)} {'take' if len(listed) > 1 else 'takes'} all that it matches",
        "Put it before, where its calls are still to be had, or remove it.",
    )


def _none_left(subject: Subject, boxes: Sequence[Box], rules: Sequence[Rule]) -> bool:
    try:
        return subject.search.left_over(boxes, rules) is None
    except Unsure:
        return False


def _idle_reject(subject: Subject, at: int) -> Iterator[Problem]:
    rule = subject.rules[at]
    boxes = [met for box in subject.search.region(rule) if (met := meet(box, _hurried(subject)))]
    if _none_left(subject, boxes, [*subject.laws, *subject.rules[:at]]):
        yield subject.spot(at, "on_infeasible").problem(
            "no-effect",
            "`on_infeasible: reject` is for ephemeral calls with a latency budget, and this rule gets none",
            "Remove it.",
        )


def _hurried(subject: Subject) -> Box:
    """The calls that `on_infeasible: reject` may refuse."""
    axes = subject.search.regions.axes
    return Box(durabilities=axes.durability("ephemeral"), budgets=axes.whole.budgets & ~axes.unset)


# ---- rules that say what would happen without them


def _redundant(subject: Subject, shown: dict[int, Facts], living: list[Rule]) -> Iterator[Problem]:
    """From the last to the first, each also tried without those found before it, so that all of them may go."""
    problems = []
    for at in sorted(shown, reverse=True):
        rule = subject.rules[at]
        if _changes_nothing(subject, shown[at], rule, subject.rules) and _changes_nothing(
            subject, shown[at], rule, living
        ):
            living.remove(rule)
            heir = subject.search.first(subject.rules[at + 1 :], shown[at])
            problems.append(
                subject.spot(at, "name").problem(
                    "redundant-rule",
                    f"without this rule every call would be decided as it is: its calls would come to "
                    f"`{heir.name if heir else 'otherwise'}`, or others like it, and go to the same destinations",
                    "Remove it, or send its calls elsewhere.",
                )
            )
    yield from reversed(problems)


def _changes_nothing(subject: Subject, shown: Facts, rule: Rule, rules: Sequence[Rule]) -> bool:
    """Whether each call that `rule` gets would be decided alike by the `rules` after it. `shown` is one of them."""
    at = next(at for at, each in enumerate(rules) if each is rule)
    before, after = [*subject.laws, *rules[:at]], rules[at + 1 :]
    search, whole = subject.search, subject.search.regions.axes.whole
    hurried = _hurried(subject)

    def differ(box: Box, call: Facts) -> list[Box] | None:
        taker = search.first(before, call)
        if taker is not None:
            return [*without(box, search.around(call, taker), whole)]
        heir = search.first(after, call)
        if heir is None or _decide_apart(rule, heir, call):
            return None
        around = search.around(call, heir)
        pieces = [*without(box, around, whole)]
        common = meet(box, around)
        for each in after:
            if common is None or each is heir:
                break
            # Between the two: the rest of this box may come to a rule that decides otherwise.
            if _may_decide_apart(rule, each):
                pieces += [met for other in search.region(each) if (met := meet(common, other))]
        if common is not None and rule.rejects != heir.rejects and (met := meet(common, hurried)):
            pieces.append(met)
        return pieces

    try:
        heir = search.first(after, shown)
        if heir is None or _decide_apart(rule, heir, shown):
            return False
        return search.find(search.region(rule), differ) is None
    except Unsure:
        return False


def _may_decide_apart(one: Rule, other: Rule) -> bool:
    return one.targets != other.targets or one.rejects != other.rejects


def _decide_apart(one: Rule, other: Rule, call: Facts) -> bool:
    if one.targets != other.targets:
        return True
    return one.rejects != other.rejects and call.durability == "ephemeral" and call.latency_budget_ns is not None


def _and(words: Sequence[str]) -> str:
    if len(words) > 4:
        return f"{', '.join(words[:3])} and {len(words) - 3} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
