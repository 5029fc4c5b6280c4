"""`dispatch explain`: what a call would get, asked of the objects that decide."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn, get_args

import click
from rich.console import Console

from dispatch import _default
from dispatch._dispatcher import Dispatcher
from dispatch._requirements import Durability, Only
from dispatch._task import Task
from dispatch.cli._bad_input import BadInput
from dispatch.cli._json_argument import JsonArgument
from dispatch.cli._printing import console, print_json, print_line, print_words
from dispatch.cli._target import find
from dispatch.cli._waterfall import plain
from dispatch.errors import NotConfigured, PolicyError, refusal
from dispatch.policy import CelerySettings, Explanation


@click.command()
@click.argument("target", metavar="MODULE:TASK")
@click.option("--args", type=JsonArgument(list, "'[42]'"), default="[]", help="Positional arguments, a JSON list.")
@click.option(
    "--kwargs", type=JsonArgument(dict, "'{\"width\": 64}'"), default="{}", help="Keyword arguments, a JSON object."
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="Ask this policy, not the one in force: a path, or the name of a ready one. Again: laid over the first.",
)
@click.option("--durability", type=click.Choice(get_args(Durability)), help="As `task.options(durability=…)`.")
@click.option("--latency-budget", metavar="DURATION", help="As `task.options(latency_budget=…)`, such as 250ms.")
@click.option("--only", type=click.Choice(get_args(Only)), help="As `task.options(only=…)`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def explain(
    *,
    target: str,
    args: list[Any],
    kwargs: dict[str, Any],
    policies: tuple[str, ...],
    durability: Durability | None,
    latency_budget: str | None,
    only: Only | None,
    as_json: bool,
) -> None:
    """Say where a call would go, and why.

    Each rule that is asked, each candidate weighed, and the decision; nothing is sent, and no broker is needed.
    Imports MODULE from the current directory, and asks the policy in force. Exit status 1 when nothing would take
    the call.
    """
    click.get_current_context().with_resource(_default.looking())
    task = find(target)
    try:
        task.spec.signature(*args, **kwargs)
        asked = task.options(durability=durability, latency_budget=latency_budget, only=only)
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    dispatcher = _dispatcher(policies)
    try:
        explanation = dispatcher.explain(asked.spec, tuple(args), kwargs)
    except NotConfigured as error:
        # A pin that nothing in the policy obeys: there is not even a candidate to weigh.
        _refuse(asked, error, as_json=as_json)
    finally:
        if policies:
            dispatcher.shutdown(0)
    notes = _notes(explanation, dispatcher, durability)
    if as_json:
        print_json({**explanation.to_dict(), "notes": notes})
    else:
        print_explanation(explanation, console())
        for note in notes:
            print_line(console(), (f"note: {note}", "yellow"))
    if explanation.decision is None:
        raise SystemExit(1)


def print_explanation(explanation: Explanation, out: Console) -> None:
    """The explanation's own words, with colour where there is colour."""
    sources = " + ".join(explanation.sources)
    print_line(out, (plain(f"policy {sources}, version {explanation.policy_version}"), "dim"))
    print_words(str(explanation), out)


def _dispatcher(policies: tuple[str, ...]) -> Dispatcher:
    """The default dispatcher, as the module or the environment sets it up; or one with `policies` and the same app."""
    if not policies:
        return _default.current()
    app = None
    # Mistakes in the policy in force do not matter to somebody who asks about another.
    with suppress(PolicyError):
        app = _default.current().celery.known
    return Dispatcher(policy=policies, celery=app)


def _refuse(task: Task[..., Any], error: NotConfigured, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"task": task.name, "decision": None, "notes": [str(error)]})
    click.echo(f"Error: {error}", err=True)
    raise SystemExit(1) from None


def _notes(explanation: Explanation, dispatcher: Dispatcher, asked: Durability | None) -> list[str]:
    """What the explanation cannot say, because it is decided elsewhere or at another moment."""
    notes = []
    if asked is not None and asked != explanation.durability:
        notes.append(f"--durability {asked} does not weaken what the task or the policy asks for")
    decision = explanation.decision
    if decision is None:
        kind = type(refusal(explanation.task, explanation.passed_over)).__name__
        notes.append(f"`delay` would raise {kind}")
    elif decision.durability == "durable":
        settings = dispatcher.policy.destinations[decision.destination]
        if isinstance(settings, CelerySettings) and settings.durability == "verified":
            notes.append(
                f"{decision.destination} takes a durable call only from a broker that says it keeps what it accepts; "
                "it is asked when a call is sent, not here"
            )
    return notes
