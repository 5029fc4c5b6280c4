"""Around the application: a folder, a broker, the environment that names them, and whether that broker is durable."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dispatch
from dispatch import embedded

ASSERTED = Path(__file__).with_name("asserted.yaml")


@contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """Where the run's files go: `keep`, which must be new or empty, else a temporary one.

    Of a temporary one only the traces of a run that ended well stay, so that they can be looked at.
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise SystemExit(f"{keep} is not empty: name a new folder for --keep")
        yield keep.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="stdlib-search-")).resolve()
    try:
        yield made
    except BaseException:
        shutil.rmtree(made)
        raise
    for path in made.iterdir():
        if path.is_file():
            path.unlink()


@contextmanager
def broker(folder: Path, policy: Path) -> Iterator[embedded.Broker]:
    """A broker, and an environment from which this process and the worker read the same settings."""
    with embedded.broker() as found:
        settings = {
            "DISPATCH_BROKER_URL": found.url,
            "DISPATCH_POLICY": str(policy.resolve()),
            "DISPATCH_TRACE_DIR": str(folder / "traces"),
            "STDLIB_SEARCH_INDEX": str(folder / "index.db"),
        }
        os.environ.update(settings)
        with _store_of_results(found.url):
            try:
                yield found
            finally:
                dispatch.shutdown(grace="1s")  # before the broker, or it would miss it


def vouch(first: Callable[[], dispatch.Handle[None]]) -> str:
    """Make the first durable call, and say on whose word it was taken: the broker's own, else that of `asserted.yaml`.

    For a demo. In earnest, read what the broker lacks, and cure it.
    """
    try:
        first().result(timeout=30)
    except dispatch.NotAccepted as refused:
        lacking = [each.detail for each in refused.passed_over if each.why == "not_durable"]
        if not lacking:
            raise
        os.environ["DISPATCH_POLICY"] += f",{ASSERTED}"
        dispatch.configure()
        first().result(timeout=30)
        return f"asserted by {ASSERTED.name}, because: {lacking[0]}"
    return "verified: it keeps what it accepts"


@contextmanager
def _store_of_results(broker_url: str) -> Iterator[None]:
    """RabbitMQ keeps no results, and this job reads them: a store for them, unless there is one."""
    if urlsplit(broker_url).scheme not in ("amqp", "amqps", "pyamqp") or "DISPATCH_RESULT_BACKEND" in os.environ:
        yield
        return
    with embedded.Server(persist=False) as store:
        os.environ["DISPATCH_RESULT_BACKEND"] = store.url
        yield
