"""`dispatch doctor`: what is wrong, before it hurts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic

import click
import msgspec
from rich.console import Console

from dispatch import _default
from dispatch._celery_side import CelerySide
from dispatch._checkup import checkup
from dispatch._compose import policy_in_force
from dispatch._finding import Fact, Finding, Seen, Severity, error, warning
from dispatch._registry import TaskSpec, registry
from dispatch._units import as_duration_ns
from dispatch.cli._bad_input import BadInput
from dispatch.cli._findings import findings, tasks_of
from dispatch.cli._printing import Part, console, print_json, print_line
from dispatch.cli._waterfall import plain
from dispatch.policy import Policy, load
from dispatch.settings import Settings, read_settings

_WHOLE = 12
"""The whole examination may take so many times as long as one wait: each queue is waited for by itself."""

_MARK: dict[Severity, Part] = {"error": ("✗", "bold red"), "warning": ("!", "bold yellow"), "note": ("i", "blue")}
_RANK: tuple[Severity, ...] = ("error", "warning", "note")


class _Case(msgspec.Struct, frozen=True):
    """What is examined."""

    policy: Policy
    celery: CelerySide
    settings: Settings
    specs: Sequence[TaskSpec]


@click.command()
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="Examine what this policy names, not the one in force: a path, or the name of a ready one. "
    "Again: laid over the first.",
)
@click.option(
    "--app",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module from the current directory: its tasks, and the app and the policy that it sets up. "
    "May be given again.",
)
@click.option(
    "--timeout", default="5s", show_default=True, metavar="DURATION", help="How long to wait for each answer."
)
@click.option("--no-probe", is_flag=True, help="Send no probe to the queues: look only.")
@click.option("--fix-hints", is_flag=True, help="Print what to paste, below each finding.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave findings of this code out. May be given again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(
    *,
    policies: tuple[str, ...],
    modules: tuple[str, ...],
    timeout: str,
    no_probe: bool,
    fix_hints: bool,
    ignore: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what is wrong with the broker, workers and disk, and the cure.

    Connects to what the policy names: asks the broker, the workers, the store of results and the disk, and sends one
    probe through each queue. Exit
    status 1 when there is an error or a warning, 0 when there are at most notes. docs/doctor.md explains each code.
    """
    click.get_current_context().with_resource(_default.looking())
    seconds = _seconds(timeout)
    case = _case(policies, modules)
    seen = _examined(case, seconds, probe=not no_probe, of_app=bool(modules))
    found = sorted(
        (each for each in seen if isinstance(each, Finding) and each.code not in ignore),
        key=lambda each: _RANK.index(each.severity),
    )
    facts = [each for each in seen if isinstance(each, Fact)]
    if as_json:
        print_json({"ok": not _grave(found), "policy": case.policy.version, "findings": found, "facts": facts})
    else:
        _print(facts, found, console(), hints=fix_hints)
    if _grave(found):
        raise SystemExit(1)


def _case(policies: tuple[str, ...], modules: tuple[str, ...]) -> _Case:
    specs = tasks_of(modules)
    settings = read_settings()
    if modules:
        dispatcher = _default.current()
        policy = load(policies) if policies else dispatcher.policy
        return _Case(policy, dispatcher.celery, dispatcher.settings, specs)
    celery = CelerySide(settings)
    policy = load(policies) if policies else policy_in_force(settings, None, broker=celery.configured)
    if settings.celery_app is not None:
        celery.app()  # its module declares tasks, which workers are asked about
        specs = sorted(registry, key=lambda spec: spec.name)
    return _Case(policy, celery, settings, specs)


def _examined(case: _Case, seconds: float, *, probe: bool, of_app: bool) -> list[Seen]:
    """On a thread of its own: there are waits that no setting bounds, and the command ends all the same."""
    seen: SimpleQueue[Seen | None] = SimpleQueue()

    def examine() -> None:
        try:
            if of_app:
                for each in findings(case.policy, case.specs, case.settings):
                    seen.put(warning(each.code, f"{each.file}:{each.line}", each.message, each.cure))
            for sight in checkup(case.policy, case.celery, case.settings, case.specs, seconds=seconds, probe=probe):
                seen.put(sight)
        finally:
            seen.put(None)

    threading.Thread(target=examine, name="dispatch-doctor", daemon=True).start()
    deadline = monotonic() + _WHOLE * seconds
    gathered: list[Seen] = []
    while True:
        try:
            each = seen.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            gathered.append(_hung(gathered, seconds))
            return gathered
        if each is None:
            return gathered
        gathered.append(each)


def _hung(gathered: Sequence[Seen], seconds: float) -> Finding:
    last = f"the last thing seen was {gathered[-1].about}" if gathered else "nothing was seen"
    return error(
        "examination-hung",
        "doctor",
        f"no end within {_WHOLE * seconds:g} s; {last}",
        "Something that answers at first and then no more: look at the broker's host, and at what lies in between.",
    )


def _seconds(timeout: str) -> float:
    try:
        return as_duration_ns(timeout) / 1e9
    except ValueError as said:
        raise BadInput(f"--timeout: {said}") from None


def _grave(found: Sequence[Finding]) -> bool:
    return any(each.severity != "note" for each in found)


def _print(facts: Sequence[Fact], found: Sequence[Finding], out: Console, *, hints: bool) -> None:
    for fact in facts:
        print_line(out, ("✓ ", "green"), (f"{plain(fact.about)}: ", "dim"), plain(fact.said))
    for each in found:
        print_line(out)
        print_line(out, _MARK[each.severity], " ", (each.code, "bold"), f"  {plain(each.about)}: {plain(each.fact)}")
        print_line(out, "    ", (plain(each.cure), "green"))
        for line in each.hints if hints else ():
            print_line(out, "        ", plain(line))
    print_line(out)
    print_line(out, *_sum(found))
    if not hints and any(each.hints for each in found):
        print_line(out, ("--fix-hints prints what to paste", "dim"))


def _sum(found: Sequence[Finding]) -> tuple[Part, ...]:
    counts = Counter(each.severity for each in found)
    if not counts:
        return (("nothing to mend", "green"),)
    return (", ".join(f"{counts[each]} {each}{'' if counts[each] == 1 else 's'}" for each in _RANK if counts[each]),)
