"""What a policy and the tasks of an application do to each other, where no call was made yet."""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import translate
from pathlib import Path

from pydantic import SecretStr

from dispatch import _default
from dispatch._celery_side import CelerySide
from dispatch._compose import destinations
from dispatch._registry import TaskSpec, registry
from dispatch.cli._target import imported
from dispatch.errors import NotConfigured, PassedOver, Problem
from dispatch.policy import AtLeast, Estimate, Plan, Policy
from dispatch.policy._node import Listing, Mapping, Node, Spot, Text
from dispatch.settings import Settings
from dispatch.transports import Destination


def tasks_of(modules: Sequence[str]) -> list[TaskSpec]:
    """Every task that is declared once these modules are imported, by name. Raises `BadInput`."""
    for module in modules:
        imported(module)
    return sorted(registry, key=lambda spec: spec.name)


def policy_of_app() -> Policy:
    """The policy that the imported modules put in force, or the environment."""
    return _default.current().policy


def findings(policy: Policy, specs: Sequence[TaskSpec], settings: Settings) -> Iterator[Problem]:
    """Patterns for no task, tasks that nobody gave a durability, and tasks that could not be carried."""
    yield from _idle_patterns(policy, [spec.name for spec in specs])
    carriers = _carriers(policy, settings)
    for spec in specs:
        if not _has_durability(policy, spec):
            yield _place(spec).problem(
                "no-durability",
                f"{spec.name} never chose a durability, and is {policy.defaults.durability} because `defaults` says so",
                'Write `@dispatch.task(durability="ephemeral")` or "durable", or name it under `tasks:`.',
            )
        yield from _refused(policy, spec, carriers)


# ---- patterns


def _idle_patterns(policy: Policy, names: Sequence[str]) -> Iterator[Problem]:
    for spot, glob in _patterns(policy.root):
        pattern = re.compile(translate(glob))
        if not any(map(pattern.match, names)):
            near = get_close_matches(glob, names, n=1)
            yield spot.problem(
                "pattern-without-task",
                f"no task has a name like {glob!a}",
                (f"Did you mean `{near[0]}`? " if near else "")
                + f"{len(names)} tasks are declared: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}.",
            )


def _patterns(root: Mapping) -> Iterator[tuple[Spot, str]]:
    tasks, rules = root.get("tasks"), root.get("rules")
    if isinstance(tasks, Mapping):
        yield from ((spot, glob) for glob, spot, _ in tasks.items())
    for rule in rules.items if isinstance(rules, Listing) else ():
        yield from _globs_in(rule.get("match") if isinstance(rule, Mapping) else None)


def _globs_in(match: Node | None) -> Iterator[tuple[Spot, str]]:
    if isinstance(match, Listing):
        for each in match.items:
            yield from _globs_in(each)
    elif isinstance(match, Mapping):
        for key, _, node in match.items():
            if key == "task":
                said = node.items if isinstance(node, Listing) else [node]
                yield from ((each.spot, each.value) for each in said if isinstance(each, Text))
            elif key in ("all", "any", "not"):
                yield from _globs_in(node)


# ---- tasks


def _has_durability(policy: Policy, spec: TaskSpec) -> bool:
    return spec.requirements.durability is not None or any(
        said.durability is not None and re.match(translate(glob), spec.name) for glob, said in policy.tasks.items()
    )


def _carriers(policy: Policy, settings: Settings) -> dict[str, Destination]:
    """The destinations as if all that they need were set up: what this machine lacks is not the policy's fault.

    They are asked about tasks, and never given a call.
    """
    said = {
        "broker_url": settings.broker_url or SecretStr("redis://localhost"),
        "application": settings.application or "check",
    }
    ready = settings.model_copy(update=said)
    return dict(destinations(policy, CelerySide(ready), ready))


def _refused(policy: Policy, spec: TaskSpec, carriers: dict[str, Destination]) -> Iterator[Problem]:
    """One for each rule that this task's calls come to, and that none of them gets beyond."""
    try:
        plan = policy.bind(spec, carriers)
    except NotConfigured as error:
        message, _, cure = str(error).partition(". ")
        yield _place(spec).problem("not-carried", message, cure)
        return
    routes = [plan.route(size) for size in _sizes(plan)]
    for rule in dict.fromkeys(route.rule for route in routes):
        same = [route for route in routes if route.rule == rule]
        if not any(route.places for route in same):
            why = "; ".join(map(_told, same[0].passed_over))
            yield _place(spec).problem(
                "not-carried",
                f"no call of {spec.name} that rule {rule} gets is ever taken ({plan.durability}): {why}",
                "Give the rule a destination that takes it, send the task elsewhere before, or change the task.",
            )


def _sizes(plan: Plan) -> Iterable[Estimate]:
    """A payload of each kind that the plan tells apart."""
    begins = [0, *plan.cuts]
    return [None, *begins, *map(AtLeast, begins)] if plan.asks_payload else [None]


def _told(passed: PassedOver) -> str:
    return f"{passed.destination}: {passed.why}" + (f", {passed.detail}" if passed.detail else "")


def _place(spec: TaskSpec) -> Spot:
    """The line of the task's decorator, or of its `def`."""
    code = inspect.unwrap(spec.function).__code__
    path = Path(code.co_filename)
    file = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
    line = linecache.getline(code.co_filename, code.co_firstlineno).rstrip()
    column = len(line) - len(line.lstrip()) + 1
    return Spot(file, code.co_firstlineno, column, line.strip() or spec.name)
