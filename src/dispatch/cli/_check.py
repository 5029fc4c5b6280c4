"""`dispatch check`: every mistake in a policy, or what it says."""

from __future__ import annotations

from typing import Literal

import click

from dispatch._compose import CelerySide, policy_in_force
from dispatch.cli._outline import as_json, print_outline
from dispatch.cli._printing import console, print_json, print_line, print_problems
from dispatch.cli._waterfall import plain
from dispatch.errors import PolicyError, Problem
from dispatch.policy import Policy, load
from dispatch.settings import read_settings


@click.command()
@click.argument("policies", nargs=-1, metavar="[POLICY]...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "line"]),
    default="text",
    show_default=True,
    help="line: one line for each mistake, file:line:col: code message, and nothing else.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print JSON, for programs.")
def check(*, policies: tuple[str, ...], form: Literal["text", "line"], as_json_: bool) -> None:
    """Find every mistake in a policy, or say what it says.

    POLICY is a path or the name of a ready policy. Several are one policy, each laid over those before it.
    Without one: the policy in force. Exit status 2 when there are mistakes.
    """
    if as_json_ and form != "text":
        raise click.UsageError("--json and --format exclude each other")
    origin = ""
    try:
        if policies:
            policy = load(policies)
        else:
            policy, origin = _in_force()
    except PolicyError as error:
        if as_json_:
            print_json({"ok": False, "policy": None, "problems": error.problems})
        else:
            _print_mistakes(error.problems, form)
        raise SystemExit(2) from None
    if as_json_:
        print_json({"ok": True, "policy": as_json(policy), "problems": ()})
    elif form == "text":
        print_outline(policy, origin, console())


def _in_force() -> tuple[Policy, str]:
    """The policy that a dispatcher made here and now would have, and why that one."""
    settings = read_settings()
    broker = CelerySide(settings).configured
    policy = policy_in_force(settings, None, broker=broker)
    if settings.policy is not None:
        return policy, "DISPATCH_POLICY names it"
    return policy, f"DISPATCH_POLICY is not set, and {'a' if broker else 'no'} broker is configured"


def _print_mistakes(problems: tuple[Problem, ...], form: Literal["text", "line"]) -> None:
    out = console()
    if form == "text":
        print_problems(problems, out)
        return
    for each in problems:
        print_line(out, plain(f"{each.file}:{each.line}:{each.column}: {each.code} {each.message}"))
