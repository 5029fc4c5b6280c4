"""`dispatch check`: every mistake in a policy, or what it says."""

from __future__ import annotations

from typing import Literal

import click

from dispatch import _default
from dispatch._celery_side import CelerySide
from dispatch._compose import policy_in_force
from dispatch.cli._findings import findings, policy_of_app, tasks_of
from dispatch.cli._outline import as_json, print_outline
from dispatch.cli._printing import console, print_findings, print_json, print_line, print_problems
from dispatch.cli._schema import schema_option
from dispatch.cli._show import print_whole, show_option, whole_as_json
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
@click.option(
    "--app",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Hold the policy against the tasks of this module, imported from the current directory. May be given again.",
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave findings of this code out. May be given again.")
@show_option
@schema_option
@click.option("--json", "as_json_", is_flag=True, help="Print JSON, for programs.")
def check(
    *,
    policies: tuple[str, ...],
    form: Literal["text", "line"],
    modules: tuple[str, ...],
    ignore: tuple[str, ...],
    show: bool,
    as_json_: bool,
) -> None:
    """Find every mistake in a policy, or say what it says.

    POLICY is a path or the name of a ready policy. Several are one policy, each laid over those before it.
    Without one: the policy in force. Exit status 2 when there are mistakes, and 1 when there are findings: with
    --app, patterns that match no task, tasks that never chose a durability, and tasks that nothing would carry.
    """
    if as_json_ and form != "text":
        raise click.UsageError("--json and --format exclude each other")
    if show and form != "text":
        raise click.UsageError("--show and --format exclude each other")
    click.get_current_context().with_resource(_default.looking())
    try:
        tasks = tasks_of(modules)
        policy, origin = _asked_for(policies, modules)
    except PolicyError as error:
        if as_json_:
            print_json({"ok": False, "policy": None, "problems": error.problems, "findings": ()})
        else:
            _print_mistakes(error.problems, form)
        raise SystemExit(2) from None
    held = findings(policy, tasks, read_settings()) if modules else ()
    found = tuple(each for each in held if each.code not in ignore)
    if as_json_:
        origins = {"origins": whole_as_json(policy)} if show else {}
        print_json({"ok": not found, "policy": as_json(policy), "problems": (), "findings": found, **origins})
    elif form == "line":
        _print_mistakes(found, form)
    elif show:
        print_whole(policy, console())
    else:
        print_outline(policy, origin, console())
    if modules and form == "text" and not as_json_:
        print_findings(found, len(tasks), console())
    if found:
        raise SystemExit(1)


def _asked_for(policies: tuple[str, ...], modules: tuple[str, ...]) -> tuple[Policy, str]:
    """The policy that is to be checked, and why that one where nobody named it."""
    if policies:
        return load(policies), ""
    if modules:
        return policy_of_app(), f"as {', '.join(modules)} and the environment set it up"
    return _in_force()


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
