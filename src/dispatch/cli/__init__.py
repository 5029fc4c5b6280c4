"""The command line: `dispatch check`, `explain`, `traces` and `demo`."""

from dispatch.cli._main import main as main

__all__ = ["main"]
