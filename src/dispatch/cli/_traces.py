"""`dispatch traces`: its commands."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import click

from dispatch.cli._traces_list import list_
from dispatch.cli._traces_show import show
from dispatch.cli._traces_stats import stats
from dispatch.cli._traces_tail import tail


@click.group()
def traces() -> None:
    """Look at recorded calls: where each went, why, and what it cost."""
    # A terminal that knows only ASCII gets question marks for bars, not a traceback.
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")


for _command in (list_, show, stats, tail):
    traces.add_command(_command)
