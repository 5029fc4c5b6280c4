"""`dispatch traces show`: one trace, drawn and explained."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.text import Text

from dispatch._units import show_duration
from dispatch.cli._bad_input import BadInput
from dispatch.cli._hindsight import Library, hindsight
from dispatch.cli._printing import console, print_json, print_words
from dispatch.cli._traces_list import local_time, say_what_is_missing, summary
from dispatch.cli._traces_place import PREFIX, SWITCH_ON, for_programs, place, so_many
from dispatch.cli._waterfall import Waterfall, plain
from dispatch.settings import read_settings
from dispatch.telemetry.traces import Trace, Traces, read


@click.command()
@click.argument("prefix", metavar="ID")
@place
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="POLICY",
    help="The policy that decided: a path, or the name of a ready one. Again: laid over the first.  "
    "[default: DISPATCH_POLICY and the ready ones, by their versions]",
)
@for_programs
def show(*, prefix: str, directory: Path | None, policies: tuple[str, ...], as_json: bool) -> None:
    """Show one trace across its processes, with the traces in which its calls ran.

    ID is its id, or as much of its beginning as is unique, or the id of a call.

    Below it, why each call went where it went: the rules are asked again, with what the trace has kept of the call.
    """
    settings = read_settings()
    directory = directory or settings.trace_dir
    found = read(directory)
    trace = _only(found, prefix, directory)
    whole = found.continued(trace)
    told = hindsight(whole, Library(policies, settings.policy))
    say_what_is_missing(found, directory, err=True)
    if as_json:
        tree = [{"depth": len(path), **msgspec.to_builtins(span)} for span, path in whole.walk()]
        print_json({**summary(trace, found), "tree": tree, "explanations": told})
        return
    out = console()
    out.print(_heading(whole))
    out.print(Waterfall(whole))
    for each in told:
        out.print()
        print_words(str(each), out)


def _only(found: Traces, prefix: str, directory: Path) -> Trace:
    matching = found.find(prefix)
    if not matching and not len(found):
        raise BadInput(f"there are no traces in {directory}. {SWITCH_ON}")
    if not matching:
        raise BadInput(
            f"no trace in {directory} begins with {prefix!r}, and no call is called so; "
            "`dispatch traces list` shows the ids"
        )
    if len(matching) > 1:
        some = ", ".join(trace.id[: max(PREFIX, len(prefix) + 2)] for trace in matching[:3])
        raise BadInput(f"{len(matching)} traces begin with {prefix!r}: {some} … Give more of the id")
    return matching[0]


def _heading(trace: Trace) -> Text:
    places = ", ".join(map(str, trace.processes))
    start = f"{local_time(trace.start_ns):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    facts = [start, show_duration(trace.duration_ns), so_many(len(trace.spans), "span"), places]
    if others := len({span.trace_id for span in trace.spans}) - 1:
        facts.insert(3, f"with {so_many(others, 'trace')} that continue{'s' if others == 1 else ''} it")
    lost = sum(bool(span.parent_id) for span in trace.roots)
    whose = "its parent, which is" if lost == 1 else "their parents, which are"
    missing = f"\n{so_many(lost, 'span')} without {whose} not in these files" if lost else ""
    return Text.assemble((f"trace {trace.id}\n", "bold"), (plain(" · ".join(facts)), "dim"), (missing, "yellow"), "\n")
