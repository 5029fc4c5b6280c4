"""The command `dispatch`: its commands, and how each of them ends."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any

import click
from pydantic import ValidationError

from dispatch.cli._bad_input import BadInput
from dispatch.cli._check import check
from dispatch.cli._dead import dead
from dispatch.cli._demo import demo
from dispatch.cli._doctor import doctor
from dispatch.cli._explain import explain
from dispatch.cli._printing import console, print_problems
from dispatch.cli._spool import spool
from dispatch.cli._test import test
from dispatch.cli._traces import traces
from dispatch.errors import DispatchError, NotConfigured, PolicyError
from dispatch.settings import Settings


class _Commands(click.Group):
    """Commands that end with a sentence and a status, never with a traceback, when what they meet is no fault of ours.

    0: fine. 1: a negative finding, or a server that failed. 2: a bad policy, a bad setting, a bad argument.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PolicyError as error:
            print_problems(error.problems, console(err=True))
            ctx.exit(2)
        except NotConfigured as error:
            raise BadInput(str(error)) from error
        except DispatchError as error:
            raise click.ClickException(str(error)) from error
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            raise BadInput("; ".join(map(_setting, error.errors()))) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dispatch-router", prog_name="dispatch")
def main() -> None:
    """Decide, call by call, where work runs: in this process, or on Celery. Ask here why, and what it cost."""
    # A terminal that knows only ASCII gets question marks for arrows, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")


for _command in (check, explain, test, doctor, traces, spool, dead, demo):
    main.add_command(_command)


def _setting(error: Any) -> str:
    # Without the value: it may be an address with a password.
    return f"DISPATCH_{'_'.join(map(str, error['loc'])).upper()}: {error['msg']}"
